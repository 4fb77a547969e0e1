// Where the page begins: the models are asked for, then settings, tabs and views are put together.

import * as api from "./api.js";
import { byId, count, grouped } from "./dom.js";
import { searchView } from "./search.js";
import { settings as makeSettings } from "./settings.js";
import { similarityView } from "./similarity.js";
import { tabs } from "./tabs.js";

/** How a view tells the reader: busy or not, what went wrong, how long the server took. */
const told = {
  of: (region) => ({ busy, problem }) => {
    region.setAttribute("aria-busy", busy);
    if (problem === undefined) return;
    // what is shown still belongs to what was asked before
    region.classList.toggle("stale", problem !== null);
    complain(problem);
  },
  timed(answer) {
    const start = performance.now();
    answer.then(
      () => (byId("elapsed").textContent = `answered in ${Math.max(1, Math.round(performance.now() - start))} ms`),
      () => {},
    );
    return answer;
  },
};

function complain(problem) {
  const shown = byId("problem");
  shown.hidden = problem === null;
  shown.textContent = problem?.message ?? "";
}

async function start() {
  let found;
  try {
    found = await api.models();
    complain(null);
  } catch (problem) {
    complain(problem);
    if (problem.after) setTimeout(start, problem.after * 1000);
    return;
  }
  const views = {};
  let shown = null;
  const settings = makeSettings(found.models, () => {
    facts(settings.chosen());
    views[shown].refresh(60);
  });
  facts(settings.chosen());
  const shared = { settings, guarded: found.guarded, told };
  views.similarity = similarityView(shared);
  views.search = searchView(shared);
  tabs(document.querySelector("[role=tablist]"), (name) => {
    shown = name;
    byId("effect").textContent = ""; // the search's; the view that comes says its own
    views[shown].refresh(0);
  });
  api.about().then(
    ({ name, version }) => (byId("version").textContent = `${name} ${version}`),
    () => {}, // the name alone stands there
  );
}

function facts(model) {
  const shape = `${grouped(model.dimensions)} dimensions, ${count(model.layers, "layer")}`;
  byId("facts").textContent =
    `${model.id}: ${shape}, reads ${grouped(model.context)} tokens of a text. ` +
    "Your texts go to this server and nowhere else.";
}

start();
