"use strict";

// Sliders: each moves through the pictures of one series.
for (const slider of document.querySelectorAll("input[data-frames]")) {
  const frames = document.getElementById(slider.dataset.frames).querySelectorAll("img");
  const output = slider.parentElement.querySelector("output");
  const show = () => {
    const index = Number(slider.value);
    frames.forEach((frame, number) => { frame.hidden = number !== index; });
    const step = frames[index].dataset.step;
    output.textContent = `${step} (${index + 1} of ${frames.length})`;
    slider.setAttribute("aria-valuetext", `step ${step}`);
  };
  slider.addEventListener("input", show);
  // A browser may bring the slider's last place back when the page is loaded again.
  show();
}

// Curves: the pointer or the arrow keys choose a step, whose values are read out below.
const plots = JSON.parse(document.getElementById("plot-data").textContent);

function nearest(steps, step) {
  let low = 0;
  let high = steps.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (steps[middle] < step) { low = middle + 1; } else { high = middle; }
  }
  return low > 0 && step - steps[low - 1] <= steps[low] - step ? low - 1 : low;
}

for (const figure of document.querySelectorAll("figure[data-plot]")) {
  const plot = plots[Number(figure.dataset.plot)];
  const area = figure.querySelector(".area");
  const lines = figure.querySelector(".lines");
  const cursor = figure.querySelector(".cursor");
  const readout = figure.querySelector(".readout");
  const atRest = [...readout.childNodes];
  const steps = [...new Set(plot.lines.flatMap((line) => line.steps))].sort((a, b) => a - b);
  const range = plot.last - plot.first;
  let place = steps.length - 1;

  const read = (index) => {
    place = Math.max(0, Math.min(steps.length - 1, index));
    const step = steps[place];
    cursor.hidden = false;
    cursor.style.left = `${range > 0 ? (100 * (step - plot.first)) / range : 50}%`;
    const texts = plot.lines.map((line) => {
      const at = nearest(line.steps, step);
      const where = line.steps[at] === step ? "" : ` (step ${line.steps[at]})`;
      return `${line.label}: ${line.values[at]}${where}`;
    });
    readout.replaceChildren(...[`Step ${step}`, ...texts].map((text) => {
      const part = document.createElement("span");
      part.textContent = text;
      return part;
    }));
    area.setAttribute("aria-valuenow", step);
    area.setAttribute("aria-valuetext", `step ${step}, ${texts.join(", ")}`);
  };
  const rest = () => {
    cursor.hidden = true;
    readout.replaceChildren(...atRest);
  };
  const moves = {
    ArrowLeft: () => place - 1,
    ArrowRight: () => place + 1,
    PageDown: () => place - Math.ceil(steps.length / 10),
    PageUp: () => place + Math.ceil(steps.length / 10),
    Home: () => 0,
    End: () => steps.length - 1,
  };
  area.setAttribute("role", "slider");
  area.setAttribute("aria-valuemin", plot.first);
  area.setAttribute("aria-valuemax", plot.last);
  area.setAttribute("aria-valuenow", plot.last);
  area.addEventListener("keydown", (event) => {
    const move = moves[event.key];
    if (move) {
      event.preventDefault();
      read(move());
    }
  });
  area.addEventListener("focus", () => { if (area.matches(":focus-visible")) { read(place); } });
  area.addEventListener("blur", rest);
  area.addEventListener("pointermove", (event) => {
    const box = lines.getBoundingClientRect();
    const share = box.width > 0 ? (event.clientX - box.left) / box.width : 0;
    read(nearest(steps, plot.first + share * range));
  });
  area.addEventListener("pointerleave", () => { if (document.activeElement !== area) { rest(); } });
}
