// Tabs as WAI-ARIA describes them: one stop for Tab, arrows, Home and End choose. The choice is kept in the address,
// under a name that is no element's id: the browser would scroll there.

/** Makes tabs of a tablist, each `tab-NAME`; `chosen(NAME)` is called for the first one and on every change. */
export function tabs(list, chosen) {
  const all = [...list.querySelectorAll("[role=tab]")];
  const panel = (tab) => document.getElementById(tab.getAttribute("aria-controls"));
  const name = (tab) => tab.id.slice("tab-".length);

  function choose(tab) {
    for (const other of all) {
      const on = other === tab;
      other.setAttribute("aria-selected", on);
      other.tabIndex = on ? 0 : -1;
      panel(other).hidden = !on;
    }
    history.replaceState(null, "", `#${name(tab)}`);
    chosen(name(tab));
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
  const named = () => all.find((tab) => `#${name(tab)}` === location.hash);
  addEventListener("hashchange", () => named() && choose(named()));
  choose(named() ?? all[0]);
}
