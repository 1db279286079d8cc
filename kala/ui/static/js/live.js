// Keeps the page up to date, and never disturbs the person who uses it.
//
// An event says that something changed; the page is then fetched again, and its regions (`data-live`, with an id) are
// morphed into the new ones. Regions keep their place, focus, ticks and open menus.
import { Idiomorph } from "../vendor/idiomorph.esm.js";
import { isOpen } from "./dialog.js";
import { LoggedOut, ask } from "./login.js";
import { Seat } from "./seats.js";
import * as time from "./time.js";

const HIDDEN_SECONDS = 5;
const POLL_SECONDS = 60;
const LEAST_SECONDS = 1;
// How often to look without a stream, where other windows have them all.
const CROWDED_SECONDS = 5;

const body = document.body.dataset;
let source = null;
let seat = null;
let isPaused = false;
let isPointerDown = false;
let pending = 0;
// Whether the page may be out of date without an event.
let isStale = false;
let isFetching = false;
let isLoggedOut = false;
let fetchedAt = 0;
let timer = 0;
let closing = 0;
let polling = 0;

function regions() {
  return document.querySelectorAll("[data-live]");
}

// Where the page is fetched again: a region can name it, as `data-live="/runs?newest=12"`.
function address() {
  return document.querySelector('[data-live^="/"]')?.dataset.live ?? location.href;
}

function say(state) {
  const live = document.getElementById("live");
  live.dataset.state = state;
  document.getElementById("live-word").textContent = state;
}

// Whether something is going on that a change of the page would disturb.
export function isBusy() {
  return isPaused || isPointerDown || isOpen() || document.querySelector("details.menu[open], :popover-open") !== null
    || !window.getSelection().isCollapsed;
}

function changed() {
  pending += 1;
  schedule();
}

function refetch() {
  isStale = true;
  schedule();
}

function schedule() {
  if (timer || isFetching || isLoggedOut || document.visibilityState !== "visible") return;
  const wait = Math.max(0, fetchedAt + LEAST_SECONDS * 1000 - Date.now());
  timer = setTimeout(() => {
    timer = 0;
    refresh();
  }, wait);
}

async function refresh() {
  if (!pending && !isStale) return;
  if (isBusy()) {
    notePending();
    // Whatever keeps the page from changing ends without an event of its own; look again soon.
    timer = setTimeout(() => {
      timer = 0;
      refresh();
    }, 500);
    return;
  }
  isFetching = true;
  const count = pending;
  isStale = false;
  try {
    const response = await ask(address(), { headers: { Accept: "text/html" } });
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    // The person may have begun something while the page was fetched.
    if (!isBusy()) {
      // What is gone has a page, too, which says so.
      show(page, response.ok || response.status === 404);
      pending -= count;
      if (!source) say("live");
    } else {
      isStale = true;
    }
  } catch (error) {
    if (!(error instanceof LoggedOut)) {
      isStale = true;
      say("reconnecting");
    }
  } finally {
    isFetching = false;
    fetchedAt = Date.now();
    if (pending || isStale) schedule();
  }
  notePending();
}

// Change the regions into those of the page as it is now.
export function show(page, isWhole, changing = regions()) {
  if (page.body.dataset.assets !== body.assets) offerReload();
  if (!isWhole) return;
  showState(page);
  for (const region of changing) {
    const next = page.getElementById(region.id);
    if (!next) continue;
    time.show(next);
    Idiomorph.morph(region, next, {
      // It also keeps the children of what has the focus, so that only what people type into needs it.
      ignoreActiveValue: /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName),
      restoreFocus: true,
      callbacks: { beforeAttributeUpdated: isTheServers, beforeNodeMorphed: isNotKept },
    });
  }
  document.dispatchEvent(new CustomEvent("kala:shown"));
}

// What the person has ticked, opened or typed is theirs.
function isTheServers(name, element) {
  if (name === "open" && element.tagName === "DETAILS") return false;
  return !(["checked", "value", "disabled"].includes(name) && /^(INPUT|SELECT|TEXTAREA|BUTTON)$/.test(element.tagName));
}

// A script owns what is in such an element.
function isNotKept(element) {
  return !(element instanceof Element && element.hasAttribute("data-keep"));
}

// The title and the icon of the tab.
function showState(page) {
  document.title = page.title;
  const icon = document.querySelector("link[rel=icon]"), next = page.querySelector("link[rel=icon]");
  if (icon.getAttribute("href") !== next.getAttribute("href")) icon.replaceWith(document.adoptNode(next));
}

function offerReload() {
  const notice = document.getElementById("notice");
  const button = document.createElement("button");
  button.textContent = "Reload";
  button.addEventListener("click", () => location.reload());
  notice.replaceChildren("Kala was updated. ", button);
  notice.hidden = false;
}

function notePending() {
  if (isLoggedOut) return;
  if (document.getElementById("notice").querySelector("button")) return;
  const notice = document.getElementById("notice");
  notice.hidden = !pending || !isPaused;
  notice.textContent = pending === 1 ? "1 change" : `${pending} changes`;
}

function connect() {
  if (source || isPaused || isLoggedOut || !seat.isMine) return;
  const query = body.events ? `?${body.events}` : "";
  source = new EventSource(`${body.base}/api/v1/events/${query}`);
  source.onopen = () => {
    say("live");
    // What happened after the page was made and before the stream began has no event.
    refetch();
  };
  source.onerror = () => {
    say("reconnecting");
    // The browser does not try again after a response that is no stream, such as that to who is not logged in.
    if (source.readyState !== EventSource.CLOSED) return;
    source = null;
    refetch();
  };
  for (const name of ["job", "run", "refetch"]) source.addEventListener(name, changed);
}

// What changes without an event, such as times and sizes, is fetched every so many seconds.
function keepFresh() {
  const every = [...regions()].map((region) => Number(region.dataset.every)).filter(Boolean);
  if (!every.length) return;
  setInterval(() => {
    if (!isPaused && document.visibilityState === "visible") refetch();
  }, Math.min(...every) * 1000);
}

function disconnect() {
  source?.close();
  source = null;
}

function endLogin() {
  isLoggedOut = true;
  leave();
  clearTimeout(timer);
  clearInterval(polling);
  say("logged out");
  document.getElementById("pause").hidden = true;
}

// Another window has taken a connection, or given one back.
function onSeat() {
  if (!seat.isMine) disconnect();
  else if (!source && document.visibilityState === "visible") {
    connect();
    changed();
  }
}

function leave() {
  disconnect();
  seat.leave();
}

// A browser opens six connections to a server, over all tabs; so only a visible tab has a stream.
function onVisibility() {
  if (isLoggedOut) return;
  clearTimeout(closing);
  clearInterval(polling);
  if (document.visibilityState === "visible") {
    seat.take();
    connect();
    if (source) schedule();
    else refetch();
  } else {
    closing = setTimeout(leave, HIDDEN_SECONDS * 1000);
    polling = setInterval(poll, POLL_SECONDS * 1000);
  }
}

async function poll() {
  try {
    const response = await ask(address(), { headers: { Accept: "text/html" } });
    if (response.ok) showState(new DOMParser().parseFromString(await response.text(), "text/html"));
  } catch (error) {
    if (!(error instanceof LoggedOut)) say("reconnecting");
  }
}

function pause(button) {
  isPaused = !isPaused;
  button.setAttribute("aria-pressed", String(isPaused));
  document.getElementById("pause-word").textContent = isPaused ? "Resume" : "Pause";
  say(isPaused ? "paused" : "live");
  if (!isPaused) {
    connect();
    changed();
  }
  notePending();
}

export function setUp() {
  if (!document.querySelector("main [data-live]")) return;
  keepFresh();
  document.getElementById("live").hidden = false;
  const button = document.getElementById("pause");
  button.addEventListener("click", () => pause(button));
  document.addEventListener("pointerdown", () => { isPointerDown = true; });
  for (const name of ["pointerup", "pointercancel"]) {
    document.addEventListener(name, () => { isPointerDown = false; });
  }
  document.addEventListener("visibilitychange", onVisibility);
  document.addEventListener("kala:logged-out", endLogin);
  window.addEventListener("pagehide", disconnect);
  window.addEventListener("pageshow", (event) => event.persisted && onVisibility());
  seat = new Seat(onSeat);
  setInterval(() => {
    if (source || isPaused || document.visibilityState !== "visible") return;
    connect();
    changed();
  }, CROWDED_SECONDS * 1000);
  if (document.visibilityState === "visible") {
    seat.take();
    connect();
  } else {
    onVisibility();
  }
}
