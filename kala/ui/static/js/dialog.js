// Questions: links to pages that ask before something is done open as dialogs.
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

async function ask(link) {
  const response = await fetch(link.href, { headers: { Accept: "text/html" } });
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const question = page.querySelector(".question");
  if (!question) {
    location.assign(link.href);
    return;
  }
  question.querySelector("[data-cancel]")?.addEventListener("click", (event) => {
    event.preventDefault();
    dialog().close();
  });
  open(document.adoptNode(question), question.querySelector("h1").textContent);
}

export function setUp() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-question]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    // Without an answer the page itself asks.
    ask(link).catch(() => location.assign(link.href));
  });
}
