// Reads the output of a run, byte for byte, until the run ends: through lost connections, sleep, and hidden tabs. The
// offset of the next byte is all that is needed to go on.
import { LoggedOut, ask } from "./login.js";
import { Seat } from "./seats.js";

const HIDDEN_SECONDS = 5;
const POLL_SECONDS = 3;
const LONGEST_WAIT_SECONDS = 10;
const SLEPT_SECONDS = 20;

export class Feed {
  // `listener` has add(bytes), skip(count), moved(offset), ended() and connected(isConnected).
  constructor(path, offset, listener) {
    this.path = path;
    this.offset = offset;
    this.listener = listener;
    this.isOver = false;
    this.failures = 0;
    this.controller = null;
    this.wake = () => {};
    this.seat = new Seat(() => this.restart());
    this.hiding = 0;
    document.addEventListener("visibilitychange", () => this.onVisibility());
    window.addEventListener("online", () => this.wake());
    window.addEventListener("pageshow", (event) => event.persisted && this.onVisibility());
    window.addEventListener("pagehide", () => this.controller?.abort());
    this.isShown = document.visibilityState === "visible";
    if (this.isShown) this.seat.take();
    this.watchForSleep();
    this.run();
  }

  onVisibility() {
    clearTimeout(this.hiding);
    if (document.visibilityState === "visible") {
      const was = this.isShown;
      this.isShown = true;
      this.seat.take();
      if (!was) this.restart();
    } else {
      this.hiding = setTimeout(() => {
        this.isShown = false;
        this.seat.leave();
        this.controller?.abort();
      }, HIDDEN_SECONDS * 1000);
    }
  }

  // A timer that is late by much says that the computer slept; its connections may be dead without a word.
  watchForSleep() {
    let last = Date.now();
    setInterval(() => {
      if (Date.now() - last > SLEPT_SECONDS * 1000 && !this.isOver) this.restart();
      last = Date.now();
    }, SLEPT_SECONDS * 250);
  }

  restart() {
    this.controller?.abort();
    this.wake();
  }

  async run() {
    while (!this.isOver) {
      if (!this.isShown) {
        await this.pause(3600);
        continue;
      }
      const isFollowed = this.seat.isMine;
      this.controller = new AbortController();
      try {
        await this.read(isFollowed, this.controller.signal);
        this.failures = 0;
        if (!this.isOver && !isFollowed) await this.pause(POLL_SECONDS);
      } catch (error) {
        if (error.name === "AbortError") continue;
        // What is shown stays.
        if (error instanceof LoggedOut) break;
        this.failures += 1;
        this.listener.connected(false);
        await this.pause(Math.min(LONGEST_WAIT_SECONDS, 0.25 * 2 ** this.failures));
      }
    }
    this.seat.leave();
  }

  pause(seconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, seconds * 1000);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async read(isFollowed, signal) {
    // Asked before the output: what a run prints comes before its end.
    const hadEnded = !isFollowed && await this.hasEnded(signal);
    const count = await this.readOnce(isFollowed, signal);
    if (this.isOver || count) return;
    if (hadEnded || (isFollowed && await this.hasEnded(signal) && !await this.readOnce(false, signal))) {
      this.isOver = true;
      this.listener.ended();
    } else if (isFollowed) {
      await this.pause(1);
    }
  }

  // Return how many bytes came.
  async readOnce(isFollowed, signal) {
    const query = isFollowed ? `?follow=true&from=${this.offset}` : `?from=${this.offset}`;
    const response = await ask(this.path + query, { signal });
    if (response.status === 404) {
      this.isOver = true;
      this.listener.ended();
      return 0;
    }
    if (response.status === 503 && isFollowed) {
      // Too many clients follow. Look now and then instead.
      await this.pause(POLL_SECONDS);
      return this.readOnce(false, signal);
    }
    const first = Number(response.headers.get("X-Offset"));
    if (response.status === 416) {
      // After a crash of Kala less can be on disk than was sent.
      this.offset = first;
      this.listener.moved(first);
      return 0;
    }
    if (!response.ok) throw new Error(`status ${response.status}`);
    this.listener.connected(true);
    this.failures = 0;
    if (first > this.offset) {
      this.listener.skip(first - this.offset);
      this.offset = first;
    }
    return this.drain(response);
  }

  async drain(response) {
    const reader = response.body.getReader();
    let count = 0;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return count;
      this.offset += value.length;
      count += value.length;
      this.listener.add(value);
    }
  }

  async hasEnded(signal) {
    const response = await ask(this.path.replace("output/", ""), { signal });
    if (!response.ok) throw new Error(`status ${response.status}`);
    return (await response.json()).run.ended_at !== null;
  }
}

// Read what was printed from one offset to another, and pass it to `lines`.
export async function readPart(path, lines, to) {
  let at = lines.end;
  const from = at;
  while (at < to) {
    const before = at;
    const controller = new AbortController();
    const response = await ask(`${path}?from=${at}`, { signal: controller.signal });
    if (!response.ok) throw new Error(`status ${response.status}`);
    const first = Number(response.headers.get("X-Offset"));
    if (first > at) {
      // A part that begins within a cut has no line about it: that comes with what is before the cut.
      if (at > from) {
        lines.skip(first - at);
      } else {
        lines.start = from + 1;
        lines.isPartial = false;
      }
      at = first;
    }
    const reader = response.body.getReader();
    while (at < to) {
      const { done, value } = await reader.read();
      if (done) break;
      const part = value.subarray(0, to - at);
      lines.add(part);
      at += part.length;
    }
    controller.abort();
    if (at === before) throw new Error("the output is shorter than it was");
  }
}
