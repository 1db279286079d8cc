// What the page of a run says about it, kept up to date beside the output without a connection of its own. Once the
// run has ended, the page is live as any other.
import * as live from "./live.js";
import { LoggedOut, ask } from "./login.js";

const QUEUED_SECONDS = 2;
const RUNNING_SECONDS = 10;
const ENDING_SECONDS = 0.5;

const page = document.getElementById("output").dataset.page;
const region = () => document.getElementById("run");
let isOutputOver = false;
let tellOver = () => {};
const outputOver = new Promise((resolve) => { tellOver = resolve; });
let wake = () => {};

function pause(seconds) {
  return new Promise((resolve) => {
    wake = resolve;
    setTimeout(resolve, seconds * 1000);
  });
}

function seconds() {
  if (isOutputOver) return ENDING_SECONDS;
  return region().dataset.state === "queued" ? QUEUED_SECONDS : RUNNING_SECONDS;
}

async function refresh() {
  if (document.visibilityState !== "visible" || live.isBusy()) return;
  const response = await ask(page, { headers: { Accept: "text/html" } });
  const next = new DOMParser().parseFromString(await response.text(), "text/html");
  if (response.status === 404) location.reload();
  live.show(next, response.ok, [region()]);
  const empty = next.getElementById("log-empty");
  if (empty) document.getElementById("log-empty").textContent = empty.textContent;
}

async function watch() {
  while (region().dataset.ended === undefined) {
    await pause(seconds());
    // Without a connection the next try is the same.
    try {
      await refresh();
    } catch (error) {
      if (error instanceof LoggedOut) return;
      console.debug(error);
    }
  }
  // Only one connection at a time: the output's, and then that for events.
  await outputOver;
  document.getElementById("announcer").textContent = region().dataset.announcement;
  live.setUp();
}

export function outputBegan() {
  if (region().dataset.state === "queued") wake();
}

export function outputEnded() {
  isOutputOver = true;
  tellOver();
  wake();
}

export function setUp() {
  if (region().dataset.ended === undefined) watch();
}
