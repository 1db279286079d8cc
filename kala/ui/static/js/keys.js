// Shortcuts of one key. Each page can add its own; `?` lists them all.
import { chosen } from "./settings.js";
import { isOpen, open } from "./dialog.js";

const keys = new Map();
let prefix = "";

export function add(key, meaning, act) {
  keys.set(key, { meaning, act });
}

function isTyping(target) {
  return target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
}

function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || isOpen()) return;
  if (chosen("keys", "on") !== "on") return;
  const pressed = prefix + event.key;
  prefix = pressed === "g" ? "g " : "";
  const found = keys.get(pressed);
  if (!found) return;
  event.preventDefault();
  found.act();
}

function list() {
  const table = document.createElement("table");
  for (const [key, { meaning }] of keys) {
    const row = table.insertRow();
    const name = document.createElement("kbd");
    name.textContent = key;
    row.insertCell().append(name);
    row.insertCell().textContent = meaning;
  }
  const head = document.createElement("h1");
  head.textContent = "Keys";
  const close = document.createElement("button");
  close.textContent = "Close";
  const form = document.createElement("form");
  form.method = "dialog";
  form.append(head, table, close);
  open(form, "Keys");
}

function go(path) {
  return () => location.assign(`${document.body.dataset.base}/${path}`);
}

export function setUp() {
  const search = document.querySelector("main input[type=search]");
  add("/", "Search", search ? () => search.focus() : go("jobs"));
  add("g o", "Overview", go(""));
  add("g j", "Jobs", go("jobs"));
  add("g r", "Runs", go("runs"));
  add("?", "List of keys", list);
  document.addEventListener("keydown", press);
  document.getElementById("show-keys").addEventListener("click", list);
}
