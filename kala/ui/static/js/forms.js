// Small help with forms on every page: no second click while the first one is under way, and buttons that copy.
const AGAIN_SECONDS = 3;

function once(event) {
  const form = event.target;
  if (form.method !== "post") return;
  if (form.dataset.isSent) {
    event.preventDefault();
    return;
  }
  form.dataset.isSent = "yes";
  setTimeout(() => delete form.dataset.isSent, AGAIN_SECONDS * 1000);
}

// Copy a text, and say so on the button and to readers of the screen.
export async function copy(text, button, said = "Copied") {
  // Browsers have a clipboard only on https and localhost.
  if (navigator.clipboard) await navigator.clipboard.writeText(text);
  else copyBySelection(text);
  document.getElementById("announcer").textContent = said;
  const before = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = before; }, 2000);
}

function copyBySelection(text) {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "hidden-text";
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

function reveal() {
  for (const button of document.querySelectorAll("button[data-copy]")) button.hidden = false;
}

export function setUp() {
  document.addEventListener("submit", once);
  reveal();
  document.addEventListener("kala:shown", reveal);
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("button[data-copy]");
    if (button) copy(document.getElementById(button.dataset.copy).textContent, button);
  });
}
