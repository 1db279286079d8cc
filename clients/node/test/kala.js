// A real `kala serve` with its own data, on a port of its own.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const PYTHON = process.env.PYTHON ?? fileURLToPath(new URL("../../../.venv/bin/python", import.meta.url));

export class Server {
  static async start(...flags) {
    const server = new Server();
    server.home = mkdtempSync(join(tmpdir(), "kala-node-"));
    server.flags = ["--port", String(await freePort()), "--data-dir", join(server.home, "data"), ...flags];
    server.url = `http://127.0.0.1:${server.flags[1]}`;
    await server.launch();
    return server;
  }

  /** Start the process, and wait until it answers. */
  async launch() {
    const environ = { PATH: process.env.PATH, PYTHONPATH: process.env.PYTHONPATH ?? "", HOME: this.home };
    const options = { env: environ, cwd: this.home, stdio: ["ignore", "ignore", "pipe"] };
    this.process = spawn(PYTHON, ["-m", "kala", "serve", ...this.flags], options);
    this.ended = new Promise((resolve) => this.process.on("exit", resolve));
    const lines = [];
    for await (const line of createInterface(this.process.stderr)) {
      lines.push(line);
      if (line.includes("answers on http://")) {
        this.process.stderr.resume();
        return;
      }
    }
    throw new Error(`Kala did not start:\n${lines.join("\n")}`);
  }

  async stop(signal = "SIGTERM") {
    this.process.kill(signal);
    await this.ended;
  }

  async restart(signal) {
    await this.stop(signal);
    await this.launch();
  }

  async close() {
    if (this.process.exitCode === null && this.process.signalCode === null) await this.stop("SIGKILL");
    rmSync(this.home, { recursive: true });
  }
}

export function freePort() {
  return new Promise((resolve) => {
    const server = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** A proxy that cuts the connections it was asked to cut: `act(connection, bytes)` is called with what the server sends. */
export function proxy(port, act) {
  const server = net.createServer((client) => {
    const upstream = net.connect(port, "127.0.0.1");
    const connection = { cut: () => { client.destroy(); upstream.destroy(); } };
    client.on("error", () => upstream.destroy());
    upstream.on("error", () => client.destroy());
    client.pipe(upstream);
    upstream.on("data", (data) => {
      client.write(data);
      act(connection, data);
    });
    upstream.on("end", () => client.end());
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}
