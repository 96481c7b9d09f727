// Glue between the charts, which are Vega's, and the page: the highlight, the command, tables, sorting.
"use strict";
(async () => {
  const drawn = Object.entries(window.charts || {}).map(async ([name, view]) => [name, await view]);
  const views = Object.fromEntries(await Promise.all(drawn));
  const main = views.explore;

  // The data of the marks that a chart lists as a table.
  function shown(item) {
    if (["shown_marks", "others_shown_marks"].includes(item.name)) return item.items.map((mark) => mark.datum);
    return (item.items || []).flatMap(shown);
  }

  function fill(details) {
    const fields = Object.entries(JSON.parse(details.dataset.fields));
    const table = document.createElement("table");
    const head = table.createTHead().insertRow();
    for (const [, title] of fields) {
      const cell = head.appendChild(document.createElement("th"));
      cell.scope = "col";
      cell.textContent = title === "x" ? main.signal("x_axis") : title;
    }
    const body = table.createTBody();
    for (const datum of shown(views[details.dataset.chart].scenegraph().root)) {
      const row = body.insertRow();
      for (const [field] of fields) fillCell(row.insertCell(), field, datum);
      if (datum.command) row.cells[0].append(" ", copyButton(datum));
    }
    details.querySelector("div").replaceChildren(table);
  }

  function fillCell(cell, field, datum) {
    const value = datum[field] ?? "";
    cell.textContent = typeof value === "number" ? (Number.isInteger(value) ? value : Number(value.toPrecision(5))) : value;
  }

  function copyButton(datum) {
    const copy = document.createElement("button");
    copy.textContent = "Copy";
    copy.title = "Copy the command";
    copy.addEventListener("click", () => showCommand(datum));
    return copy;
  }

  const LEGEND = "legend_click_store"; // where Vega-Lite keeps which entry of a legend was clicked
  let clicked = null; // the view and the entry of the legend by which something is lit

  function forgetLegends(except) {
    clicked = null;
    for (const view of Object.values(views).filter((view) => view !== except)) {
      try { view.data(LEGEND, []).runAsync(); } catch { continue; } // a chart without a legend
    }
  }

  // Lights what the page's own list names, or all, whatever was clicked before.
  function highlightOnly(names) {
    forgetLegends();
    highlight(names);
  }

  // The value of the entry of a legend that an item is, or is a part of.
  function entryOf(item) {
    if (!item || !(item.mark.role || "").startsWith("legend")) return undefined;
    return item.datum?.value ?? item.items?.[0]?.items?.[0]?.datum?.value;
  }

  // What an entry of a legend stands for is lit until it, or a place where nothing is, is clicked again.
  function listen(view, light) {
    view.addEventListener("click", (_, item) => {
      const entry = entryOf(item);
      if (entry === undefined && item && item.mark.marktype !== "group") return; // a mark
      const again = clicked && clicked.view === view && clicked.name === entry;
      if (entry === undefined || again) {
        highlightOnly([]);
        setTimeout(forgetLegends); // again, once Vega-Lite has noted this click
      } else {
        forgetLegends(view);
        clicked = { view, name: entry };
        light(entry);
      }
    });
  }

  // Lights what has one of these names in a column of the configurations, in every chart; no names, everything.
  function highlight(names, column = main.signal("group_column")) {
    const lit = names.length ? { column, names } : null;
    for (const view of Object.values(views)) view.signal("highlighted", lit).runAsync();
    const select = document.getElementById("highlight");
    const options = [...select.options].map((option) => option.value);
    const listed = !names.length || column === main.signal("group_column"); // the list has the groups of this column
    select.selectedIndex = listed ? options.indexOf(names[0] || "") : -1;
  }

  function listGroups() {
    const groups = main.scale("color").domain().map((name) => new Option(name, name));
    document.getElementById("highlight").replaceChildren(new Option("all", ""), ...groups);
  }

  function showCommand({ command, label, settings }) {
    const field = document.getElementById("command");
    const said = document.getElementById("copied");
    field.value = command;
    field.select();
    const copied = navigator.clipboard ? navigator.clipboard.writeText(command) : Promise.reject();
    const what = [label, settings].filter(Boolean).join(", ");
    copied.then(() => (said.textContent = `Copied: ${what}.`), () => (said.textContent = `Selected: ${what}.`));
  }

  function sort(head) {
    const body = head.closest("table").tBodies[0];
    const upward = head.getAttribute("aria-sort") !== "ascending";
    const value = (row) => {
      const text = row.cells[head.cellIndex].textContent.trim().replace(/^≥ /, "");
      const bytes = text.match(/^([\d.]+) (B|KiB|MiB|GiB)$/);
      return bytes ? bytes[1] * 1024 ** ["B", "KiB", "MiB", "GiB"].indexOf(bytes[2]) : text;
    };
    const compare = new Intl.Collator("en", { numeric: true }).compare;
    const order = (a, b) => (a === "" || b === "" ? (a === "") - (b === "") : // what is missing comes last
      (upward ? 1 : -1) * (isNaN(a) || isNaN(b) ? compare(a, b) : a - b));
    body.append(...[...body.rows].sort((a, b) => order(value(a), value(b))));
    for (const other of head.parentNode.cells) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", upward ? "ascending" : "descending");
    body.parentNode.classList.add("sorted");
  }

  for (const head of document.querySelectorAll("th[aria-sort]")) {
    head.querySelector("button").addEventListener("click", () => sort(head));
  }
  for (const details of document.querySelectorAll("details[data-chart]")) {
    details.addEventListener("toggle", () => details.open && fill(details));
  }
  if (!main) return;
  listGroups();
  listen(main, (name) => highlight([name]));
  const bySeries = main.signal("group_column"); // as nobody has chosen another one yet
  for (const name of ["curves_chart", "learning_rates_chart"].filter((name) => name in views)) {
    listen(views[name], (series) => {
      const lit = shown(views[name].scenegraph().root).filter((datum) => datum.series === series);
      highlight([...new Set(lit.map((datum) => datum.of[bySeries]))], bySeries);
    });
  }
  for (const name of ["group_column", "task_shown"]) {
    main.addSignalListener(name, () => main.runAfter((view) => {
      view.resize().run(); // for a legend of other names
      listGroups();
      highlightOnly([]);
    }));
  }
  main.addEventListener("click", (_, item) => item && item.datum && item.datum.command && showCommand(item.datum));
  document.getElementById("highlight").addEventListener("change", (event) => highlightOnly([event.target.value].filter(Boolean)));
  document.getElementById("explore").addEventListener("change", () => main.runAfter(() => {
    document.querySelectorAll("details[data-chart=explore][open]").forEach(fill);
  }));
})();
