// Times on the clock that the person has chosen, and ages that stay right while the page is open.
import { chosen } from "./settings.js";

const MINUTE = 60, HOUR = 3600, DAY = 86400, YEAR = 31556952;
// The same bounds as in kala/core/figures.py.
const AGES = [[2 * YEAR, YEAR, "y"], [2 * DAY, DAY, "d"], [2 * HOUR, HOUR, "h"], [2 * MINUTE, MINUTE, "min"]];

// How far the clock of this computer is ahead of the server's, in milliseconds.
let ahead = 0;

export function now() {
  return Date.now() - ahead;
}

export function relative(instant, from) {
  const seconds = Math.round((instant - from) / 1000);
  if (!seconds) return "now";
  return seconds > 0 ? `in ${age(seconds)}` : `${age(-seconds)} ago`;
}

function age(seconds) {
  for (const [least, unit, name] of AGES) {
    if (seconds >= least) return `${Math.floor(seconds / unit).toLocaleString("en-US")} ${name}`;
  }
  return `${seconds} s`;
}

// As the server writes it: 2030-01-31 08:00:00 +01:00. Null for a zone that this browser does not know.
export function local(instant, zone) {
  try {
    const parts = Object.fromEntries(format(zone).formatToParts(instant).map((part) => [part.type, part.value]));
    const offset = parts.timeZoneName.replace("GMT", "") || "+00:00";
    return `${parts.year}-${parts.month}-${parts.day} ${parts.hour}:${parts.minute}:${parts.second} ${offset}`;
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

const formats = new Map();

function format(zone) {
  if (!formats.has(zone)) {
    formats.set(zone, new Intl.DateTimeFormat("en-US", {
      timeZone: zone, year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit",
      second: "2-digit", hourCycle: "h23", timeZoneName: "longOffset",
    }));
  }
  return formats.get(zone);
}

// The zone of this browser.
export function mine() {
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}

function names() {
  return { server: document.body.dataset.zone, mine: mine(), utc: "UTC" };
}

// Rewrite the times below an element. The server's text stays where the browser does not know the zone.
export function show(root = document) {
  const zones = names(), wanted = chosen("times", "server"), at = now();
  for (const element of root.querySelectorAll("time[datetime]")) {
    const instant = Date.parse(element.dateTime);
    if (element.classList.contains("clock")) {
      const text = local(instant, zones[wanted])?.slice(11, 16);
      if (text && element.textContent !== text) element.textContent = text;
    } else if (element.classList.contains("exact")) {
      const text = local(instant, zones[wanted]);
      if (text && element.textContent !== text) element.textContent = text;
      element.title = relative(instant, at);
    } else {
      const text = relative(instant, at);
      if (element.textContent !== text) element.textContent = text;
      element.title = allZones(instant, zones, wanted);
    }
  }
}

function allZones(instant, zones, wanted) {
  const order = [wanted, ...Object.keys(zones).filter((name) => name !== wanted)];
  const words = { server: `server, ${zones.server}`, mine: `you, ${zones.mine}`, utc: "UTC" };
  const seen = new Set();
  const lines = [];
  for (const name of order) {
    const text = local(instant, zones[name]);
    if (text && !seen.has(text)) lines.push(`${text} (${words[name]})`);
    seen.add(text);
  }
  return lines.join("\n");
}

export function setUp() {
  ahead = Date.now() - Date.parse(document.body.dataset.now);
  show();
  setInterval(() => document.visibilityState === "visible" && show(), 1000);
}
