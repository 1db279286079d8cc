from crowd import crowd
from process import api, gate, kala, make, serve, soon, wait
from scene import systemd, under_attack
from stranger import stranger

__all__ = ("api", "crowd", "gate", "kala", "make", "serve", "soon", "stranger", "systemd", "under_attack", "wait")
