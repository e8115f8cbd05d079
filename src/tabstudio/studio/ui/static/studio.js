// Names for what Quasar leaves without one: lists of a select, checkboxes of a table. Screen readers read them.
(() => {
  const put = (element, name) => {
    if (name && element.getAttribute("aria-label") !== name) element.setAttribute("aria-label", name);
  };
  const nameAll = () => {
    for (const list of document.querySelectorAll("[role=listbox]")) {
      const owner = list.id && document.querySelector(`[aria-controls="${CSS.escape(list.id)}"]`);
      if (owner) put(list, owner.getAttribute("aria-label") || owner.closest("label")?.innerText.split("\n")[0]);
    }
    for (const box of document.querySelectorAll(".q-table th [role=checkbox], .q-table td [role=checkbox]")) {
      const cells = box.closest("tr").cells;
      put(box, box.closest("thead") ? "Select all rows that are shown" : `Select ${cells[1]?.innerText ?? "row"}`);
    }
  };
  let due = false;
  const soon = () => {
    if (due) return;
    due = true;
    requestAnimationFrame(() => {
      due = false;
      nameAll();
    });
  };
  new MutationObserver(soon).observe(document.documentElement, {
    childList: true, subtree: true, characterData: true,
  });
  soon();
})();
