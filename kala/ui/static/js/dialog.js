// Questions: the pages that ask before something is done open as dialogs.
const dialog = () => document.getElementById("dialog");

export function isOpen() {
  return dialog().open;
}

export function open(content, label) {
  const element = dialog();
  element.replaceChildren(content);
  element.setAttribute("aria-label", label);
  // Read while it still has the focus, as browsers give it back only to what is still there.
  const before = document.activeElement;
  element.addEventListener("close", () => before?.isConnected && before.focus(), { once: true });
  element.showModal();
}

async function ask(url) {
  const response = await fetch(url, { headers: { Accept: "text/html" } });
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const question = page.querySelector(".question");
  if (!question) {
    location.assign(url);
    return;
  }
  question.querySelector("[data-cancel]")?.addEventListener("click", (event) => {
    event.preventDefault();
    dialog().close();
  });
  open(document.adoptNode(question), question.querySelector("h1").textContent);
}

export function setUp() {
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.hasAttribute("data-question")) return;
    event.preventDefault();
    // Without an answer the page itself asks.
    ask(form.action).catch(() => location.assign(form.action));
  });
}
