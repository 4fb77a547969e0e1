// The model and the form of its vectors: what is chosen, and what a vector costs then.

import { byId, count, el, grouped } from "./dom.js";

/** The settings' controls; `changed()` is called on every change. */
export function settings(models, changed) {
  const model = byId("model");
  const dimensions = byId("dimensions");
  const layers = byId("layers");
  const codes = [...document.querySelectorAll("input[name=code]")];
  const full = byId("full");

  model.replaceChildren(...models.map((one) => el("option", { value: one.id }, one.id)));
  model.value = (models.find((one) => one.default) ?? models[0]).id;
  const chosen = () => models.find((one) => one.id === model.value);

  function fit() {
    const { dimensions: width, layers: depth, matryoshka = [] } = chosen();
    const step = width % 8 ? 1 : 8;
    Object.assign(dimensions, { min: step, max: width, step, value: width });
    Object.assign(layers, { min: 1, max: depth, step: 1, value: depth });
    byId("dimension-marks").replaceChildren(...matryoshka.map((size) => el("option", { value: size })));
    codes[0].checked = true;
  }

  function show() {
    const { dimensions: width, layers: depth } = chosen();
    byId("dimensions-shown").value = `${dimensions.value} of ${width}`;
    byId("layers-shown").value = `${layers.value} of ${depth}`;
    full.disabled = isFull();
  }

  const code = () => codes.find((one) => one.checked).value;
  const isFull = () => dimensions.value === dimensions.max && layers.value === layers.max && code() === "float";

  function update() {
    show();
    changed();
  }
  model.addEventListener("change", () => {
    fit();
    update();
  });
  for (const control of [dimensions, layers, ...codes]) control.addEventListener("input", update);
  full.addEventListener("click", () => {
    fit();
    update();
    model.focus(); // the button is now disabled, and focus would be lost with it
  });
  byId("settings").addEventListener("submit", (event) => event.preventDefault());
  fit();
  show();

  return {
    chosen,
    isFull,
    /** The fields of a request that differ from the full model's. */
    reduced() {
      const fields = {};
      if (dimensions.value !== dimensions.max) fields.dimensions = Number(dimensions.value);
      if (layers.value !== layers.max) fields.layers = Number(layers.value);
      if (code() !== "float") fields.code = code();
      return fields;
    },
    /** Shows what the server says that a vector takes. */
    cost(bytes) {
      const times = (chosen().dimensions * 4) / bytes;
      const rounded = times >= 10 ? Math.round(times) : Number(times.toFixed(1));
      byId("cost").replaceChildren(
        el("strong", {}, count(bytes, "byte")), " a vector, ",
        el("strong", {}, size(bytes * 1e6)), " for a million",
        times > 1 ? `; ${rounded} times less than the full model.` : ".",
      );
    },
  };
}

function size(bytes) {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(2)} GB` : `${grouped(Math.round(bytes / 1e6))} MB`;
}
