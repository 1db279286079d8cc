// The form of a job, while people type: what the schedule means, recipes, and the names of other jobs.
import { LoggedOut, ask } from "./login.js";
import * as time from "./time.js";

const PREVIEW_MS = 300, SEARCH_MS = 200;
const FOUND = 20;
// What the meaning of a schedule depends on.
const FIELDS = ["name", "schedule", "timezone", "jitter", "parent_jobs", "parents_mode"];

const form = document.getElementById("job");

// Call `act` once nothing has happened for a while.
function later(milliseconds, act) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...given).catch(ignoreLogout), milliseconds);
  };
}

// The page says so already.
function ignoreLogout(error) {
  if (!(error instanceof LoggedOut)) throw error;
}

let asked = null;

// A second parent changes the sentence, and further ones nothing; a thousand would not fit into a URL.
function meant(name) {
  const text = form.elements[name]?.value ?? "";
  return name === "parent_jobs" ? text.split("\n").filter((line) => line.trim()).slice(0, 2).join("\n") : text;
}

async function preview() {
  asked?.abort();
  asked = new AbortController();
  const query = new URLSearchParams(FIELDS.map((name) => [name, meant(name)]));
  const shown = document.getElementById("preview");
  shown.classList.add("waiting");
  try {
    const response = await ask(`${form.dataset.preview}?${query}`, {
      headers: { Accept: "text/html" }, signal: asked.signal,
    });
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const next = page.getElementById("preview");
    // Whatever else answered, the old preview stays, and stays pale.
    if (!next) return;
    show(next);
    shown.classList.remove("waiting");
  } catch (error) {
    // A later request replaces one that was aborted; without the server, the old preview stays pale, too.
    if (error.name !== "AbortError" && !(error instanceof TypeError)) throw error;
  }
}

function show(next) {
  // The sentence stays the same element, so that screen readers read it when it changes, and nothing else.
  const sentence = document.getElementById("preview-sentence"), said = next.querySelector("#preview-sentence");
  if (sentence.textContent !== said.textContent) sentence.textContent = said.textContent;
  sentence.className = said.className;
  document.getElementById("preview-more").replaceWith(document.adoptNode(next.querySelector("#preview-more")));
  showTimes();
}

// The slots on the clock of the person, where it is another one than the schedule's.
function showTimes() {
  const shown = document.getElementById("preview");
  time.show(shown);
  const cells = [...shown.querySelectorAll("td.mine")];
  const texts = cells.map((cell) => time.local(Date.parse(cell.dataset.instant), time.mine()));
  const isOther = cells.some((cell, index) => texts[index] && texts[index] !== cell.previousElementSibling.textContent);
  cells.forEach((cell, index) => { cell.textContent = texts[index]; });
  for (const cell of shown.querySelectorAll(".mine")) cell.hidden = !isOther;
}

function setUpPreview() {
  const soon = later(PREVIEW_MS, preview);
  form.addEventListener("input", (event) => FIELDS.includes(event.target.name) && soon());
  showTimes();
}

function setUpRecipes() {
  for (const cell of document.querySelectorAll(".recipes [hidden]")) cell.hidden = false;
  form.addEventListener("click", (event) => {
    const button = event.target.closest("[data-recipe]");
    if (!button) return;
    const schedule = form.elements.schedule;
    schedule.value = button.dataset.recipe;
    schedule.focus();
    preview().catch(ignoreLogout);
  });
}

async function search(text) {
  const query = new URLSearchParams({ fields: "summary", q: text.trim(), limit: FOUND, sort: "name" });
  const response = await ask(`${document.body.dataset.base}/api/v1/job/?${query}`);
  if (!response.ok) return;
  const { jobs } = await response.json();
  const names = jobs.map((job) => job.name);
  const isTwice = (name) => names.indexOf(name) !== names.lastIndexOf(name);
  document.getElementById("jobs").replaceChildren(...jobs.map((job) => {
    const option = document.createElement("option");
    // Only a name that no other job has stands for a job.
    option.value = isTwice(job.name) ? job.id : job.name;
    option.label = isTwice(job.name) ? `${job.name} (${job.id})` : `${job.name}: ${job.sentence}`;
    return option;
  }));
}

// Below a list of jobs, an input that finds one, as text areas have no suggestions.
function addFinder(area) {
  const finder = document.createElement("input");
  finder.type = "text";
  finder.className = "finder";
  finder.placeholder = "Find a job to add";
  finder.setAttribute("aria-label", "Find a job to add");
  finder.setAttribute("list", "jobs");
  finder.autocomplete = "off";
  finder.dataset.jobs = "";
  const add = () => {
    if (!finder.value.trim()) return;
    const lines = area.value.split("\n").filter((line) => line.trim());
    area.value = [...lines, finder.value.trim()].join("\n");
    finder.value = "";
    area.dispatchEvent(new Event("input", { bubbles: true }));
  };
  finder.addEventListener("change", add);
  finder.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    add();
  });
  area.after(finder);
}

function setUpJobs() {
  for (const area of form.querySelectorAll("textarea[data-jobs]")) addFinder(area);
  const soon = later(SEARCH_MS, search);
  form.addEventListener("input", (event) => {
    if (event.target.list?.id === "jobs" && event.target.value.trim()) soon(event.target.value);
  });
}

if (document.getElementById("f-schedule")) {
  setUpPreview();
  setUpRecipes();
  setUpJobs();
} else if (document.getElementById("preview")) showTimes();
