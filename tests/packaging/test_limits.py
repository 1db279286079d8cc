"""Limits of jobs, with a kernel that has only control groups version 2. Needs root."""

import json
import subprocess

import pytest
import vm
from conftest import ROOT, SUITES

pytestmark = pytest.mark.timeout(400)

# Creates jobs, and prints the run of each in one JSON object.
SCRIPT = r"""
import http.client, json, os, socket, subprocess, time
class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect("/run/kala/kala.sock")
def call(path, body=None):
    connection = Connection("localhost")
    connection.request("POST" if body else "GET", "/api/v1" + path, json.dumps(body) if body else None)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status >= 300:
        raise OSError(body)
    return body
def told(name, command, **fields):
    job = json.loads(call("/job/", {"name": name, "command": command, **fields}))["id"]
    while not (run := json.loads(call(f"/job/{job}/runs/"))["runs"][0])["ended_at"]:
        time.sleep(0.1)
    print(json.dumps({name: run | {"output": call(f"/run/{run['id']}/output").decode()}}), flush=True)
subprocess.run(["dpkg", "--install", "/root/kala.deb"], stdout=subprocess.DEVNULL, check=True)
told("none", "cat /proc/self/cgroup")
told("memory", "head -c 200M /dev/zero | tail -c 150M | wc -c; echo not here", memory_max=64 * 2**20)
told("within memory", "echo enough", memory_max=64 * 2**20)
told("tasks", "for i in 1 2 3 4 5 6 7 8 9; do sleep 1 & done; wait", tasks_max=4)
spent = "grep usage_usec /sys/fs/cgroup$(cut -c4- /proc/self/cgroup)/cpu.stat"
told("cpu", f"timeout 5 sh -c 'while :; do :; done'; {spent}", cpu_quota=20)
told("daemon", "setsid sh -c 'exec >/dev/null 2>&1; exec sleep 1234' & sleep 1; echo left", tasks_max=50)
print(json.dumps({"left": subprocess.run(["pgrep", "-f", "^sleep 1234"], capture_output=True, text=True).stdout}))
own = subprocess.run(["systemctl", "show", "-P", "ControlGroup", "kala"], capture_output=True, text=True).stdout.strip()
print(json.dumps({"groups": sorted(entry.name for entry in os.scandir("/sys/fs/cgroup" + own) if entry.is_dir())}))
for verb in ("reload", "restart", "kill --signal=KILL"):
    code = subprocess.run(["systemctl", *verb.split(), "kala"]).returncode
    for _ in range(300):
        try:
            call("/stats/")
            break
        except OSError:
            time.sleep(0.2)
    told(verb, "true", tasks_max=9)
    print(json.dumps({verb + " code": code}))
"""


@pytest.fixture(scope="module", params=SUITES)
def told(request, deb, tmp_path_factory):
    subprocess.run([ROOT / "packaging/need.sh", "qemu-system-x86", "e2fsprogs"], check=True)
    said = vm.run(request.param, SCRIPT, {"kala.deb": deb}, tmp_path_factory.mktemp("vm"))
    lines = [line for line in said.splitlines() if line.startswith("{")]
    told = {}
    for line in lines:
        told |= json.loads(line)
    assert "kill --signal=KILL code" in told, said
    return told


def test_a_run_without_limits_is_in_kalas_own_group(told):
    assert told["none"]["output"].strip().endswith("/kala.service/kala")


def test_a_run_that_takes_too_much_memory_is_killed_with_all_its_processes_and_the_reason(told):
    run = told["memory"]
    assert (run["state"], run["signal"]) == ("failed", 9)
    assert run["message"] == "killed by SIGKILL; exceeded memory_max"
    assert "not here" not in run["output"]


def test_a_run_within_its_memory_succeeds(told):
    assert (told["within memory"]["state"], told["within memory"]["output"]) == ("succeeded", "enough\n")


def test_a_run_can_have_no_more_processes_than_its_limit(told):
    assert told["tasks"]["message"].endswith("reached tasks_max")


def test_a_run_gets_no_more_processor_time_than_its_quota(told):
    spent = int(told["cpu"]["output"].split()[-1]) / 1e6
    lasted = told["cpu"]["duration"]  # five seconds, or more in an emulator that gets little processor time
    assert 0.3 < spent < lasted * 0.2 * 1.5


def test_processes_that_left_the_process_group_of_a_limited_run_end_with_it_and_no_group_stays(told):
    assert told["daemon"]["state"] == "succeeded"
    assert told["left"] == ""
    assert [name for name in told["groups"] if name.startswith("run-")] == []


@pytest.mark.parametrize("verb", ["reload", "restart", "kill --signal=KILL"])
def test_limits_are_there_again_afterwards(told, verb):
    assert (told[f"{verb} code"], told[verb]["state"]) == (0, "succeeded")
