"use strict";
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const touch = matchMedia("(pointer: coarse)").matches;
  const PRINTED_PX = { width: 700, height: 880 };
  const BUTTONS_PX = 28;

  const unpack = async (id) => {
    const packed = atob(document.getElementById(id).textContent);
    const bytes = Uint8Array.from(packed, (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  };

  const load = (text) => {
    const script = document.createElement("script");
    script.textContent = text;
    document.head.append(script);
  };

  const pause = () => new Promise((resolve) => setTimeout(resolve));
  const plots = () => [...document.querySelectorAll(".plot.drawn")];
  const look = () => (dark.matches ? "dark" : "light");

  const config = {
    responsive: true,
    displaylogo: false,
    displayModeBar: touch ? true : "hover",
    modeBarButtons: [["toImage", ...(touch ? [] : ["zoom2d", "pan2d"]), "zoomIn2d", "zoomOut2d", "resetScale2d"]],
  };

  // A finger on a figure scrolls the page; buttons zoom, and never lie over the curves.
  const with_room_for_buttons = (layout) => ({
    dragmode: false,
    height: layout.height + BUTTONS_PX,
    margin: { ...layout.margin, t: layout.margin.t + BUTTONS_PX },
  });

  const draw = (content, name) => {
    const place = document.getElementById(`plot-${name}`);
    if (place.classList.contains("drawn")) return null; // for printing, before its turn
    const { data, layout } = content.plots[name];
    place.replaceChildren();
    place.classList.add("drawn");
    const shown = { ...layout, ...(touch && with_room_for_buttons(layout)), template: content.templates[look()] };
    place.dataset.height = shown.height;
    return Plotly.newPlot(place, data, shown, config);
  };

  const save = (file, text) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
    link.download = file;
    link.click();
    URL.revokeObjectURL(link.href);
  };

  const give_up = (error) => {
    for (const place of document.querySelectorAll(".plot:not(.drawn)")) {
      place.textContent = `This browser cannot show the figure (${error.message}). `
        + "It needs Chrome 80, Firefox 113, Safari 16.4 or later.";
      place.classList.add("failed");
    }
  };

  const start = async () => {
    const content = JSON.parse(await unpack("packed-content"));
    for (const button of document.querySelectorAll("[data-file]")) {
      button.addEventListener("click", () => save(button.dataset.file, content.files[button.dataset.file]));
    }
    load(await unpack("packed-library"));
    const restyle = (change) => plots().map((place) => Plotly.relayout(place, change(place)));
    const on_screen = (place) => ({
      template: content.templates[look()],
      width: null,
      height: place.dataset.height,
      autosize: true,
    });
    const on_paper = (place) => ({
      template: content.templates.light,
      width: PRINTED_PX.width,
      height: Math.min(place.dataset.height, PRINTED_PX.height),
      autosize: false,
    });
    dark.addEventListener("change", () => restyle(on_screen));
    const names = Object.keys(content.plots);
    addEventListener("beforeprint", () => {
      names.forEach((name) => draw(content, name));
      restyle(on_paper);
    });
    addEventListener("afterprint", () => restyle(on_screen));
    for (const name of names) {
      await draw(content, name);
      await pause();
    }
    document.documentElement.dataset.drawn = plots().length;
    performance.mark("figures drawn");
  };

  start().catch((error) => {
    give_up(error);
    throw error;
  });
})();
