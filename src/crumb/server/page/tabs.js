// Tabs as WAI-ARIA describes them: one stop for Tab, arrows, Home and End choose. The choice is kept in the address.

/** Makes tabs of a tablist; `chosen(panel)` is called for the first panel and on every change. */
export function tabs(list, chosen) {
  const all = [...list.querySelectorAll("[role=tab]")];
  const panel = (tab) => document.getElementById(tab.getAttribute("aria-controls"));

  function choose(tab) {
    for (const other of all) {
      const on = other === tab;
      other.setAttribute("aria-selected", on);
      other.tabIndex = on ? 0 : -1;
      panel(other).hidden = !on;
    }
    history.replaceState(null, "", `#${panel(tab).id}`);
    chosen(panel(tab));
  }

  list.addEventListener("click", (event) => {
    const tab = event.target.closest("[role=tab]");
    if (tab) choose(tab);
  });
  list.addEventListener("keydown", (event) => {
    const at = all.indexOf(event.target);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    const tab = all[(to + all.length) % all.length];
    tab.focus();
    choose(tab);
  });
  const named = () => all.find((tab) => `#${panel(tab).id}` === location.hash);
  addEventListener("hashchange", () => named() && choose(named()));
  choose(named() ?? all[0]);
}
