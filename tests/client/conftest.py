from process import api, gate, kala, make, serve, soon, wait

__all__ = ("api", "gate", "kala", "make", "serve", "soon", "wait")
