// What a run has printed, as lines in blocks, each with the offset of its first byte.
export const BLOCK = 500;
const COLOURS = /\x1b\[[\d;]*m/g;
const MOST_COLOURS = 20;

// A line as a terminal shows it: a carriage return goes back to its beginning, and what follows is written over it.
export function overwritten(line) {
  if (!line.includes("\r")) return line;
  const parts = line.replace(/\r+$/, "").split("\r");
  if (!line.includes("\x1b")) {
    // From the end, as each part shows only what is longer than those after it.
    return parts.reduceRight((shown, part) => shown + part.slice(shown.length), "");
  }
  const last = parts.pop();
  // The colours stay on.
  const before = parts.join("").match(COLOURS) ?? [];
  const reset = Math.max(before.lastIndexOf("\x1b[0m"), before.lastIndexOf("\x1b[m"));
  return before.slice(reset + 1).slice(-MOST_COLOURS).join("") + last;
}

// Only what is before the last carriage return can be written over already.
function shortened(line) {
  const last = line.lastIndexOf("\r");
  return last > 0 ? `${overwritten(line.slice(0, last))}\r${line.slice(last + 1)}` : line;
}

class Block {
  constructor(first, offset) {
    // The index of the first line, counted from the line that was read first; earlier ones have negative indices.
    this.first = first;
    this.offset = offset;
    this.lines = [];
    this.size = 0;
  }
}

export class Lines {
  // `offset` is that of the first byte to come. If no line begins there, the rest of that line is left out.
  constructor(offset, { isPartial = false } = {}) {
    this.isPartial = isPartial;
    this.blocks = [new Block(0, offset)];
    this.start = offset;
    this.end = offset;
    this.size = 0;
    // The beginning of a line that is not complete.
    this.rest = "";
    // What to add to the index of a line for its number; null as long as the beginning of the output is not known.
    this.origin = offset === 0 ? 1 : null;
    this.decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  }

  get last() {
    return this.blocks.at(-1);
  }

  // How many complete lines there are, with those that were dropped.
  get count() {
    return this.last.first + this.last.lines.length;
  }

  add(bytes) {
    let end = 0;
    this.append(this.decoder.decode(bytes, { stream: true }), () => {
      end = bytes.indexOf(10, end) + 1;
      return this.end + end;
    });
    this.end += bytes.length;
  }

  // Some bytes are not kept. The line that says so is the one in the whole output.
  skip(count) {
    this.end += count;
    this.append(`${this.decoder.decode()}\n[kala: ${count} bytes omitted here]\n`, () => this.end);
  }

  append(text, endOfLine) {
    const parts = text.split("\n");
    parts[0] = this.rest + parts[0];
    this.rest = shortened(parts.pop());
    for (const line of parts) {
      const end = endOfLine();
      if (this.isPartial) {
        this.isPartial = false;
        this.start = this.blocks[0].offset = end;
        continue;
      }
      const shown = overwritten(line);
      this.last.lines.push(shown);
      this.last.size += shown.length;
      this.size += shown.length;
      if (this.last.lines.length === BLOCK) this.blocks.push(new Block(this.count, end));
    }
  }

  // Put lines before the first one. They were read from `earlier.start` on.
  prepend(earlier) {
    const blocks = earlier.blocks.filter((block) => block.lines.length);
    const shift = this.blocks[0].first - earlier.count;
    for (const block of blocks) block.first += shift;
    if (earlier.rest) this.join(earlier.rest);
    this.blocks.unshift(...blocks);
    this.size += earlier.size;
    this.start = earlier.start;
    if (this.start === 0) this.origin = 1 - this.blocks[0].first;
  }

  // The first line did not begin where it seemed to.
  join(beginning) {
    const [block] = this.blocks;
    if (block.lines.length) block.lines[0] = beginning + block.lines[0];
    else this.rest = beginning + this.rest;
    block.isStale = true;
  }

  // Forget the first block; it can be read again.
  drop() {
    this.size -= this.blocks.shift().size;
    this.start = this.blocks[0].offset;
  }

  // The number of a line in the whole output, null if it is not known.
  numberOf(block, index) {
    return this.origin === null ? null : block.first + index + this.origin;
  }

  // The block that has the line of a number, and the line's index there.
  find(number) {
    if (this.origin === null) return null;
    const index = number - this.origin;
    const block = this.blocks.find((one) => index >= one.first && index < one.first + one.lines.length);
    return block ? { block, index: index - block.first } : null;
  }

  text() {
    return this.blocks.flatMap((block) => block.lines).join("\n") + (this.count ? "\n" : "") + overwritten(this.rest);
  }
}
