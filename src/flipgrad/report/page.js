"use strict";
// Draws the figures, and moves the switches.  Text of strangers goes through textContent, or comes escaped for Plotly.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const words = data.words;
  const root = document.documentElement;
  const coarse = matchMedia("(pointer: coarse)").matches;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  // Buttons on the embeddings only: each is a stop of the Tab key.
  const config = (element) => ({
    displaylogo: false, displayModeBar: coarse || element.id in data.figures ? false : "hover", responsive: true,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
  });

  // ---- colours ----
  const template = () => {
    const color = (name) => getComputedStyle(root).getPropertyValue(name).trim();
    const axis = { gridcolor: color("--grid"), linecolor: color("--muted"), tickcolor: color("--muted"), zeroline: false };
    const clear = "rgba(0,0,0,0)";
    return { layout: {
      font: { color: color("--text"), size: 12, family: "system-ui, sans-serif" },
      paper_bgcolor: clear, plot_bgcolor: clear, xaxis: axis, yaxis: axis,
      modebar: { bgcolor: clear, color: color("--muted"), activecolor: color("--text") },
    } };
  };
  const figures = new Map();
  const draw = (element, figure, more) => {
    figures.set(element, figure);
    const layout = { ...figure.layout, ...more, template: template(), dragmode: coarse ? false : "zoom" };
    return Plotly.react(element, figure.data, layout, config(element));
  };
  const recolour = () => figures.forEach((figure, element) => draw(element, figure));
  document.getElementById("theme").addEventListener("click", () => {
    const now = root.dataset.theme || (dark.matches ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
    recolour();
  });
  dark.addEventListener("change", recolour);

  // ---- figures that stay as they are ----
  for (const [name, figure] of Object.entries(data.figures)) draw(document.getElementById(name), figure);

  // ---- printing: light, and as wide as the paper ----
  let before;
  let closed;
  const tables = document.querySelectorAll(".scroll");
  const shrink = (each) => {  // not below what can be read; then words are broken
    const wide = () => each.scrollWidth > each.clientWidth;
    if (wide()) each.firstElementChild.style.fontSize = `${Math.max(5, (7.8 * each.clientWidth) / each.scrollWidth)}pt`;
    each.classList.toggle("tight", wide());
  };
  addEventListener("beforeprint", () => {
    before = root.dataset.theme;
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((each) => { each.open = true; });
    root.dataset.theme = "light";
    root.classList.add("printing");
    tables.forEach(shrink);
    figures.forEach((figure, element) => draw(element, figure, { width: element.clientWidth }));
  });
  addEventListener("afterprint", () => {
    if (before) root.dataset.theme = before; else delete root.dataset.theme;
    root.classList.remove("printing");
    tables.forEach((each) => { each.classList.remove("tight"); each.firstElementChild.style.fontSize = ""; });
    closed.forEach((each) => { each.open = false; });
    recolour();
    figures.forEach((_, element) => Plotly.Plots.resize(element));
  });

  // ---- embeddings ----
  if (!data.movies.length) return;
  const get = (id) => document.getElementById(id);
  const unpacked = new WeakMap();
  const unpack = (packed) => {
    if (!unpacked.has(packed)) {
      const bytes = Uint8Array.from(atob(packed.data), (sign) => sign.charCodeAt(0));
      const view = new DataView(bytes.buffer);
      const read = packed.bits === 8 ? (i) => bytes[i] : (i) => view.getUint16(2 * i, true);
      const count = bytes.length / (packed.bits / 8);
      unpacked.set(packed, Array.from({ length: count }, (_, i) => read(i) * packed.scale + packed.low));
    }
    return unpacked.get(packed);
  };
  const rows = data.rows;
  const labels = unpack(rows.labels);
  const oracle = rows.oracle ? unpack(rows.oracle) : null;
  const isTarget = (row) => row >= rows.source;
  const truth = (row) => (isTarget(row) ? oracle && oracle[row - rows.source] : labels[row]);
  const state = { movie: 0, left: "", projection: "pca", colour: "class", frame: 0, hidden: new Set() };

  const groups = () => (state.colour === "domain" ? [words.source, words.target] : data.classes);
  const groupOf = (row, predicted) => {
    if (state.colour === "domain") return +isTarget(row);
    return isTarget(row) && state.colour === "class" ? predicted[row] : truth(row);
  };
  const traces = (frame, places) => {
    const predicted = unpack(frame.predicted);
    const [x, y] = [unpack(places.x), unpack(places.y)];
    const made = [];
    groups().forEach((name, group) => [0, 1].forEach((domain) => made.push({
      type: "scatter", mode: "markers", x: [], y: [], customdata: [], hoverinfo: "none", name, legendgroup: `${group}`,
      visible: state.hidden.has(group) ? "legendonly" : true,
      showlegend: state.colour === "domain" ? group === domain : domain === 0,
      marker: {
        size: 6, opacity: 0.75, symbol: ["circle", "triangle-up"][domain],
        color: state.colour === "domain" ? data.domain_colors[group] : data.colors[group % data.colors.length],
      },
    })));
    for (let row = 0; row < rows.source + rows.target; row += 1) {
      const trace = made[2 * groupOf(row, predicted) + +isTarget(row)];
      if (trace) { trace.x.push(x[row]); trace.y.push(y[row]); trace.customdata.push(row); }
    }
    return made;
  };
  const show = (id, movie, frame, projection) => {
    const element = get(id);
    const places = projection === "pca" ? frame : frame.tsne;
    const names = projection === "pca" ? ["component_1", "component_2"] : ["dimension_1", "dimension_2"];
    const axis = (number) => ({
      title: { text: words[names[number]] }, automargin: true,
      ...(id === "through" ? { range: movie.ranges[number] } : { autorange: true }),
    });
    const layout = {
      xaxis: axis(0), yaxis: axis(1), height: 460, margin: { l: 8, r: 12, t: 30, b: 8 }, showlegend: true,
      legend: { orientation: "h", y: -0.18, yanchor: "top", itemsizing: "constant" },
      uirevision: `${state.movie} ${projection} ${state.left}`,
      annotations: places ? [] : [{ text: words.no_tsne, showarrow: false, xref: "paper", yref: "paper", x: 0.5, y: 0.5 }],
    };
    element.dataset.epoch = frame.epoch;
    element.frame = frame;
    draw(element, { data: places ? traces(frame, places) : [], layout });
    if (!element.listening) listen(element);
  };
  const firstFrame = ({ frames: [{ epoch }] }) => (epoch ? words.before_epoch.replace("{}", epoch) : words.before_first);
  const update = () => {
    const movie = data.movies[state.movie];
    const last = movie.frames.length - 1;
    const other = data.movies.find((each) => each.mode === "source" && each.seed === movie.seed);
    const base = state.left === "source" ? other : null;
    get("before-title").textContent = `${words.before}: ${base ? words.before_source : firstFrame(movie)}`;
    get("after-title").textContent = movie.after;
    show("before", base || movie, base ? base.frames[base.frames.length - 1] : movie.frames[0], state.projection);
    show("after", movie, movie.frames[last], state.projection);
    step();
  };
  const step = () => {
    const movie = data.movies[state.movie];
    const frame = movie.frames[state.frame];
    show("through", movie, frame, "pca");
    const more = frame.domain_accuracy === undefined ? "" : ` · ${words.domain_accuracy_here.replace("{}", frame.domain_accuracy.toFixed(3))}`;
    get("epoch").textContent = `${words.epoch} ${frame.epoch}${more}`;
    get("slider").setAttribute("aria-valuetext", get("epoch").textContent);
  };

  // ---- legend: hides a class in all three pictures; two clicks show it alone ----
  let pending;
  const legendClick = (event) => {
    const group = +event.data[event.curveNumber].legendgroup;
    clearTimeout(pending);
    pending = setTimeout(() => {
      if (!state.hidden.delete(group)) state.hidden.add(group);
      update();
    }, 300);
    return false;
  };
  const legendDoubleClick = (event) => {
    const group = +event.data[event.curveNumber].legendgroup;
    clearTimeout(pending);
    const others = groups().map((_, index) => index).filter((index) => index !== group);
    const alone = !state.hidden.has(group) && others.every((index) => state.hidden.has(index));
    state.hidden = new Set(alone ? [] : others);
    update();
    return false;
  };

  // ---- hover: the image or the row ----
  const box = get("hover");
  const line = (text, kind) => {
    const part = document.createElement("div");
    part.textContent = text;
    part.className = kind || "";
    part.dir = "auto";
    box.append(part);
  };
  const fillBox = (row, frame) => {
    box.replaceChildren();
    const domain = isTarget(row) ? "target" : "source";
    if (data.sheets) {
      const { columns } = data.sheets[+isTarget(row)];
      const place = isTarget(row) ? row - rows.source : row;
      const thumb = document.createElement("div");
      thumb.className = `thumb ${domain}`;
      thumb.style.setProperty("--column", place % columns);
      thumb.style.setProperty("--line", Math.floor(place / columns));
      box.append(thumb);
    }
    line(`${words[domain]} · ${rows.ids[row]}`, "id");
    if (truth(row) !== null) line(`${words.label}: ${data.names[truth(row)]}`);
    line(`${words.predicted}: ${data.names[unpack(frame.predicted)[row]]} (${unpack(frame.sure)[row]} %)`);
    if (data.lines) line(data.lines[row], "row");
  };
  const listen = (element) => {
    element.listening = true;
    element.on("plotly_legendclick", legendClick);
    element.on("plotly_legenddoubleclick", legendDoubleClick);
    element.on("plotly_hover", (event) => {
      fillBox(event.points[0].customdata, element.frame);
      box.hidden = false;
      const { clientX = 0, clientY = 0 } = event.event;
      box.style.left = `${Math.max(4, Math.min(clientX + 14, innerWidth - box.offsetWidth - 8))}px`;
      box.style.top = `${Math.max(4, Math.min(clientY + 14, innerHeight - box.offsetHeight - 8))}px`;
    });
    element.on("plotly_unhover", () => { box.hidden = true; });
  };
  addEventListener("scroll", () => { box.hidden = true; }, { passive: true });

  // ---- switches ----
  const choose = (movie) => {
    state.movie = movie;
    const { mode, seed, frames } = data.movies[movie];
    const hasSource = mode !== "source" && data.movies.some((each) => each.mode === "source" && each.seed === seed);
    get("left").querySelector("[value=source]").disabled = !hasSource;
    get("left").querySelector("[value=first]").textContent = firstFrame(data.movies[movie]);
    get("left").value = state.left = hasSource ? get("left").value : "first";
    get("slider").max = frames.length - 1;
    get("slider").value = state.frame = frames.length - 1;
    update();
  };
  data.movies.forEach((movie, index) => get("training").add(new Option(`${movie.mode}, ${words.seed} ${movie.seed}`, index)));
  get("training").addEventListener("change", (event) => choose(+event.target.value));
  get("left").addEventListener("change", (event) => { state.left = event.target.value; update(); });
  const radios = (name, change) => document.querySelectorAll(`input[name=${name}]`).forEach(
    (input) => input.addEventListener("change", () => { change(input.value); update(); }));
  radios("projection", (value) => { state.projection = value; });
  radios("colour", (value) => { state.colour = value; state.hidden.clear(); });
  const slider = get("slider");
  const go = (frame) => { slider.value = state.frame = frame; step(); };
  const isLast = () => +slider.value === +slider.max;
  slider.addEventListener("input", () => go(+slider.value));
  let timer;
  const pause = () => { clearInterval(timer); timer = undefined; get("play").textContent = words.play; };
  get("play").addEventListener("click", () => {
    if (timer) { pause(); return; }
    go(isLast() ? 0 : state.frame + 1);
    get("play").textContent = words.pause;
    timer = setInterval(() => { if (isLast()) pause(); else go(state.frame + 1); }, 700);
  });
  choose(0);
})();
