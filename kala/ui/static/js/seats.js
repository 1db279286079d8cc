// A browser opens six connections to a server, over all its tabs and windows. So at most a few of them hold one for
// long, those that were looked at last; the others ask now and then.
const MOST = 4;
const TELL_SECONDS = 10;
const FORGET_SECONDS = 25;

export class Seat {
  constructor(onChange) {
    this.id = `${Date.now()}-${Math.random()}`;
    this.takenAt = 0;
    this.others = new Map();
    this.onChange = onChange;
    this.channel = new BroadcastChannel("kala-streams");
    this.channel.onmessage = ({ data }) => this.hear(data);
    setInterval(() => this.tell(), TELL_SECONDS * 1000);
    window.addEventListener("pagehide", () => this.leave());
  }

  // Ask for a connection, as the tab that was looked at last.
  take() {
    this.takenAt = Date.now();
    this.tell(true);
  }

  leave() {
    this.takenAt = 0;
    this.tell();
  }

  tell(isNew = false) {
    this.channel.postMessage({ id: this.id, takenAt: this.takenAt, isNew });
  }

  hear({ id, takenAt, isNew }) {
    const had = this.isMine;
    if (takenAt) this.others.set(id, { takenAt, heardAt: Date.now() });
    else this.others.delete(id);
    if (isNew && this.takenAt) this.tell();
    if (this.isMine !== had) this.onChange();
  }

  // Whether fewer than the most have taken one since.
  get isMine() {
    const now = Date.now();
    const later = [...this.others].filter(([id, other]) => now - other.heardAt < FORGET_SECONDS * 1000
      && (other.takenAt > this.takenAt || (other.takenAt === this.takenAt && id > this.id)));
    return this.takenAt > 0 && later.length < MOST;
  }
}
