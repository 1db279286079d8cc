"""What Kala does and takes, measured from outside, beside a peer that speaks the same API and beside the machine."""
