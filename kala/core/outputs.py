"""The layout of the folder of outputs, to which the runner writes and which a backup copies."""

OUTPUTS = "output"
PER_FOLDER = 1000


def output_name(run_id: int) -> str:
    """Return the path of an ended run's output, relative to the folder of outputs.

    A subfolder holds a thousand outputs, because very large directories are slow.
    """
    return f"{run_id // PER_FOLDER}/{run_id}.out"
