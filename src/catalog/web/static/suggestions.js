// Completes what is typed into a search box: a combobox with a list (WAI-ARIA 1.2, section 5.4.5; the pattern of the
// ARIA Authoring Practices). Without this script the box is a box. Whatever is shown came as text and stays text.
"use strict";

(() => {
  const WAIT_MS = 90;
  const LETTERS_MIN = 2;
  const NAMES = {
    object: "Object",
    creator: "Creator",
    keyword: "Keyword",
    identifier: "Identifier",
    concept: "Term",
    field: "Field",
    value: "Value",
  };

  function element(name, attributes, text) {
    const made = document.createElement(name);
    for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function complete(box) {
    const place = `${box.id}-suggestions`;
    const holder = element("div", { class: "completing" });
    const list = element("ul", { id: place, role: "listbox", "aria-label": "Suggestions", hidden: "" });
    const told = element("p", { class: "unseen", role: "status" });
    const focused = document.activeElement === box;
    box.replaceWith(holder);
    holder.append(box, list, told);
    if (focused) box.focus();
    for (const [name, value] of Object.entries({
      role: "combobox",
      "aria-autocomplete": "list",
      "aria-expanded": "false",
      "aria-controls": place,
    })) box.setAttribute(name, value);

    let shown = [];
    let at = -1;
    let waiting = 0;
    let asking = null;
    let typed = box.value;

    function close() {
      clearTimeout(waiting);
      asking?.abort();
      shown = [];
      list.hidden = true;
      list.replaceChildren();
      mark(-1);
      box.setAttribute("aria-expanded", "false");
      told.textContent = "";
    }

    function mark(next) {
      list.children[at]?.setAttribute("aria-selected", "false");
      at = next;
      const option = list.children[at];
      if (option === undefined) {
        box.removeAttribute("aria-activedescendant");
        return;
      }
      option.setAttribute("aria-selected", "true");
      option.scrollIntoView({ block: "nearest" });
      box.setAttribute("aria-activedescendant", option.id);
    }

    function show(items) {
      shown = items;
      list.replaceChildren(
        ...items.map((item, number) => {
          const option = element("li", { id: `${place}-${number}`, role: "option", "aria-selected": "false" });
          option.append(
            element("span", { class: "what" }, NAMES[item.type] ?? item.type),
            element("span", { class: "text", dir: "auto" }, item.text),
          );
          return option;
        }),
      );
      list.hidden = items.length === 0;
      box.setAttribute("aria-expanded", String(items.length > 0));
      mark(-1);
      told.textContent = items.length === 0 ? "" : items.length === 1 ? "1 suggestion" : `${items.length} suggestions`;
    }

    async function ask() {
      const text = box.value;
      asking?.abort();
      if (text.trim().length < LETTERS_MIN) {
        close();
        return;
      }
      asking = new AbortController();
      try {
        const answer = await fetch(`${box.dataset.suggestions}?${new URLSearchParams({ q: text })}`, {
          headers: { Accept: "application/json" },
          signal: asking.signal,
        });
        // Who has typed on meanwhile, or gone elsewhere, wants nothing of this any more.
        if (!answer.ok || box.value !== text || document.activeElement !== box) return;
        show((await answer.json()).items);
      } catch (fault) {
        // Help that does not come is no fault of the page.
        if (fault.name !== "AbortError") close();
      }
    }

    function take(item) {
      close();
      if (item.href !== undefined) {
        window.location.assign(item.href);
        return;
      }
      box.value = item.q;
      box.focus();
      // A field wants a value yet; all else is a question.
      if (item.type === "field") ask();
      else box.form.requestSubmit();
    }

    box.addEventListener("input", () => {
      typed = box.value;
      clearTimeout(waiting);
      waiting = setTimeout(ask, WAIT_MS);
    });
    box.addEventListener("keydown", (event) => {
      if (event.isComposing) return;
      if (event.key === "Escape" && shown.length > 0) {
        event.preventDefault();
        box.value = typed;
        close();
      } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        if (shown.length === 0) {
          if (event.key === "ArrowDown") ask();
          return;
        }
        event.preventDefault();
        const steps = shown.length + 1;
        // One step before the first, and after the last, the box itself is meant.
        mark(((at + 1 + (event.key === "ArrowDown" ? 1 : steps - 1)) % steps) - 1);
      } else if (event.key === "Enter" && at >= 0) {
        event.preventDefault();
        take(shown[at]);
      }
    });
    box.addEventListener("blur", close);
    // The box keeps the focus, so that a click is not first a leaving.
    list.addEventListener("pointerdown", (event) => event.preventDefault());
    list.addEventListener("click", (event) => {
      const number = [...list.children].indexOf(event.target.closest("[role=option]"));
      if (number >= 0) take(shown[number]);
    });
    box.form.addEventListener("submit", close);
  }

  for (const box of document.querySelectorAll("input[data-suggestions]")) complete(box);
})();
