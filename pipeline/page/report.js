/* Draws the charts with D3, sorts tables, switches the theme. The page is complete without it: figures stand in tables. */
(() => {
  "use strict";

  const SHAPES = [d3.symbolCircle, d3.symbolSquare, d3.symbolDiamond, d3.symbolTriangle, d3.symbolWye, d3.symbolStar];
  const DASHES = ["", "7 3", "2 3", "9 3 2 3", "4 2", "1 4"];
  const MANY_BINS = 12;
  const figureText = (value) => (Math.abs(value) < 10 ? value.toFixed(4) : d3.format(",.2f")(value));

  const colour = (role) => `var(--c-${/^[a-z_]+$/.test(role) ? role : "neutral"}, var(--c-neutral))`;

  /* Titled pictures side by side, each as wide as its place; a part is [title, draw(svg, width) → height, alone?]. */
  function panels(host, parts) {
    const grid = d3.select(host).append("div").attr("class", "panels");
    // All places first: how wide one is depends on how many there are.
    const boxes = parts.map(([title, , alone]) => {
      const box = grid.append("div").classed("alone", alone);
      if (title) box.append("p").attr("class", "title").text(title);
      return box;
    });
    parts.forEach(([, drawPart], i) => {
      const width = Math.max(200, boxes[i].node().clientWidth);
      const svg = boxes[i].append("svg").attr("aria-hidden", "true");
      const height = drawPart(svg, width);
      svg.attr("viewBox", `0 0 ${width} ${height}`).attr("width", width).attr("height", height);
    });
  }

  /* Shortens a text to a width; the whole of it stays as a tooltip. */
  function fit(text, width) {
    const node = text.node();
    const whole = node.textContent;
    if (node.getComputedTextLength() <= width) return;
    let kept = whole.length;
    while (kept > 1 && node.getComputedTextLength() > width) node.textContent = `${whole.slice(0, --kept)}…`;
    text.append("title").text(whole);
  }

  function bars(host, data) {
    panels(host, data.panels.map((part) => [part.title, (svg, width) => barPanel(svg, width, part)]));
  }

  function barPanel(svg, width, part) {
    const row = 26;
    const known = part.bars.filter((bar) => bar.value !== null);
    const labels = svg.selectAll("text.label").data(part.bars).join("text").text((bar) => bar.label);
    const longest = d3.max(labels.nodes(), (node) => node.getComputedTextLength()) || 0;
    const left = Math.min(longest, width * 0.42) + 8;
    const right = 16 + 7 * (d3.max(known, (bar) => bar.text.length) || 0);
    const top = part.reference_title ? 18 : 4;
    const high = d3.max([part.reference, ...known.flatMap((bar) => [bar.high ?? bar.value, bar.rival])]) || 1;
    const x = d3.scaleLinear([0, high], [left, width - right]);
    labels.attr("x", left - 8).attr("y", (_, i) => top + i * row + 17).attr("text-anchor", "end");
    labels.each(function () { fit(d3.select(this), left - 8); });
    const rows = svg.selectAll("g.bar").data(part.bars).join("g").attr("transform", (_, i) => `translate(0 ${top + i * row})`);
    const drawn = rows.filter((bar) => bar.value !== null);
    drawn.append("rect").attr("x", left).attr("y", 4).attr("height", 18).attr("rx", 2)
      .attr("width", (bar) => Math.max(1, x(bar.value) - left)).style("fill", (bar) => colour(bar.role))
      .append("title").text((bar) => `${bar.label}: ${bar.text}`);
    drawn.filter((bar) => bar.low !== undefined && bar.low !== null).append("path").attr("class", "whisker")
      .attr("d", (bar) => `M${x(bar.low)} 13H${x(bar.high)}M${x(bar.low)} 9v8M${x(bar.high)} 9v8`);
    drawn.filter((bar) => bar.rival !== undefined && bar.rival !== null).append("rect").attr("class", "rival")
      .attr("x", (bar) => x(bar.rival) - 2).attr("y", 1).attr("width", 4).attr("height", 24)
      .append("title").text((bar) => `best baseline: ${figureText(bar.rival)}`);
    if (part.reference !== undefined && part.reference !== null) reference(svg, x(part.reference), top, part, row);
    drawn.append("text").attr("x", width - 2).attr("y", 17).attr("text-anchor", "end").text((bar) => bar.text);
    rows.filter((bar) => bar.value === null).append("text").attr("class", "quiet").attr("x", left).attr("y", 17).text("not available");
    return top + part.bars.length * row + 4;
  }

  function reference(svg, x, top, part, row) {
    svg.append("line").attr("class", "reference").attr("x1", x).attr("x2", x).attr("y1", top)
      .attr("y2", top + part.bars.length * row);
    svg.append("text").attr("class", "quiet").attr("x", x).attr("y", 12).attr("text-anchor", "middle").text(part.reference_title);
  }

  function lines(host, data) {
    panels(host, data.panels.map((part) => [part.title, (svg, width) => linePanel(svg, width, part)]));
    const named = new Map(data.panels.flatMap((part) => part.series.map((series, i) => [series.name, [series, i]])));
    if (data.panels.some((part) => part.series.length > 1)) legend(host, [...named.values()]);
  }

  function linePanel(svg, width, part) {
    const half = 4 * (d3.max(part.x, (name) => name.length) || 1);
    const [height, top, right, bottom, left] = [220, 14, Math.max(14, half), 44, Math.max(46, half)];
    const all = part.series.flatMap((series) => series.values.filter((value) => value !== null));
    const y = d3.scaleLinear(yDomain(all, part.fit), [height - bottom, top]).nice(5);
    const x = d3.scalePoint(d3.range(part.x.length), [left, width - right]).padding(0.3);
    const shown = ticks(part.x, width - left - right);
    svg.append("g").attr("class", "axis").attr("transform", `translate(${left} 0)`)
      .call(d3.axisLeft(y).ticks(5).tickSize(-(width - left - right))).select(".domain").remove();
    svg.append("g").attr("class", "axis").attr("transform", `translate(0 ${height - bottom})`)
      .call(d3.axisBottom(x).tickValues(shown).tickFormat((i) => part.x[i]).tickSizeOuter(0));
    svg.append("text").attr("class", "quiet").attr("x", (left + width - right) / 2).attr("y", height - 6)
      .attr("text-anchor", "middle").text(part.x_title);
    if (part.mark) mark(svg, x(part.mark.index), part.mark.label, top, height - bottom);
    part.series.forEach((series, i) => drawLine(svg, series, i, x, y, part));
    return height;
  }

  function yDomain(all, fitted) {
    const [low, high] = d3.extent(all);
    if (low === undefined) return [0, 1];
    if (!fitted) return [Math.min(0, low), high || 1];
    const room = (high - low) * 0.08 || Math.abs(high) * 0.05 || 1;
    // A share is drawn from 0 to 1 at most, however far the lines are apart.
    return [low >= 0 ? Math.max(0, low - room) : low - room, high <= 1 ? Math.min(1, high + room) : high + room];
  }

  /* Positions whose labels fit beside each other; the first and the last always stay. */
  function ticks(names, width) {
    const each = 7 * (d3.max(names, (name) => name.length) || 1) + 14;
    const step = Math.max(1, Math.ceil(names.length / Math.max(1, Math.floor(width / each))));
    return d3.range(names.length).filter((i) => (names.length - 1 - i) % step === 0);
  }

  function mark(svg, x, text, top, bottom) {
    svg.append("line").attr("class", "reference").attr("x1", x).attr("x2", x).attr("y1", top).attr("y2", bottom);
    svg.append("text").attr("class", "quiet").attr("x", x).attr("y", top - 3).attr("text-anchor", "middle").text(text);
  }

  function drawLine(svg, series, index, x, y, part) {
    const points = series.values.map((value, i) => ({ value, i, outcome: series.outcomes?.[i] })).filter((p) => p.value !== null);
    const path = d3.line((p) => x(p.i), (p) => y(p.value));
    svg.append("path").datum(points).attr("d", path).attr("fill", "none").style("stroke", colour(series.role))
      .attr("stroke-width", 2).attr("stroke-dasharray", DASHES[index % DASHES.length]);
    const refused = (p) => p.outcome === "refused" || p.outcome === "overridden";
    svg.append("g").selectAll("path").data(points).join("path")
      .attr("transform", (p) => `translate(${x(p.i)} ${y(p.value)})`)
      .attr("d", (p) => (refused(p) ? d3.symbol(d3.symbolTimes, 70)() : d3.symbol(SHAPES[index % SHAPES.length], 42)()))
      .style("fill", (p) => (refused(p) ? "none" : colour(series.role)))
      .style("stroke", (p) => (refused(p) ? "var(--bad)" : "var(--card)")).attr("stroke-width", (p) => (refused(p) ? 2.5 : 1))
      .append("title").text((p) => `${series.name}, ${part.x_title} ${part.x[p.i]}: ${figureText(p.value)}`);
  }

  function legend(host, named) {
    const entry = d3.select(host).append("ul").attr("class", "legend").selectAll("li").data(named).join("li");
    const key = entry.append("svg").attr("viewBox", "0 0 30 12").attr("aria-hidden", "true");
    key.append("line").attr("x1", 0).attr("x2", 30).attr("y1", 6).attr("y2", 6).attr("stroke-width", 2)
      .attr("stroke-dasharray", ([, i]) => DASHES[i % DASHES.length]).style("stroke", ([series]) => colour(series.role));
    key.append("path").attr("transform", "translate(15 6)").attr("d", ([, i]) => d3.symbol(SHAPES[i % SHAPES.length], 42)())
      .style("fill", ([series]) => colour(series.role));
    entry.append("span").text(([series]) => series.name);
  }

  /* Shares of the same bins in two sets of data, bin by bin. */
  function shares(host, data) {
    const many = (part) => part.x.length > MANY_BINS;
    panels(host, data.panels.map((part) => [
      part.title, (svg, width) => (many(part) ? shareColumns : shareRows)(svg, width, part), many(part),
    ]));
    const entry = d3.select(host).append("ul").attr("class", "legend").selectAll("li").data(data.panels[0].series).join("li");
    const key = entry.append("svg").attr("viewBox", "0 0 30 12").attr("aria-hidden", "true");
    key.append("rect").attr("x", 4).attr("y", 1).attr("width", 22).attr("height", 10).attr("rx", 2)
      .style("fill", (series) => colour(series.role));
    entry.append("span").text((series) => series.name);
  }

  function shareRows(svg, width, part) {
    const [row, thick, top] = [26, 9, 4];
    const labels = svg.selectAll("text.label").data(part.x).join("text").text((name) => name);
    const longest = d3.max(labels.nodes(), (node) => node.getComputedTextLength()) || 0;
    const [left, right] = [Math.min(longest, width * 0.42) + 8, 58];
    const high = d3.max(part.series.flatMap((series) => series.values.filter((value) => value !== null))) || 1;
    const x = d3.scaleLinear([0, high], [left, width - right]);
    labels.attr("x", left - 8).attr("y", (_, i) => top + i * row + 15).attr("text-anchor", "end");
    labels.each(function () { fit(d3.select(this), left - 8); });
    const percent = d3.format(".1%");
    part.series.forEach((series, place) => {
      const shown = series.values.map((value, i) => ({ value, i })).filter((bin) => bin.value !== null);
      const y = (bin) => top + bin.i * row + 1 + place * (thick + 1);
      svg.append("g").selectAll("rect").data(shown).join("rect").attr("x", left).attr("y", y).attr("height", thick)
        .attr("rx", 1).attr("width", (bin) => (bin.value ? Math.max(1, x(bin.value) - left) : 0))
        .style("fill", colour(series.role))
        .append("title").text((bin) => `${series.name}, ${part.x[bin.i]}: ${percent(bin.value)}`);
    });
    const newest = part.series[part.series.length - 1];
    svg.append("g").selectAll("text").data(newest.values).join("text").attr("x", width - 2)
      .attr("y", (_, i) => top + i * row + 15).attr("text-anchor", "end").text((value) => (value === null ? "" : percent(value)));
    return top + part.x.length * row + 4;
  }

  function shareColumns(svg, width, part) {
    const [height, top, left, bottom] = [200, 8, 46, 26];
    const high = d3.max(part.series.flatMap((series) => series.values.filter((value) => value !== null))) || 1;
    const y = d3.scaleLinear([0, high], [height - bottom, top]).nice(4);
    const x = d3.scaleBand(d3.range(part.x.length), [left, width - 14]).paddingInner(0.3).paddingOuter(0.15);
    svg.append("g").attr("class", "axis").attr("transform", `translate(${left} 0)`)
      .call(d3.axisLeft(y).ticks(4, ".1~%").tickSize(left - width)).select(".domain").remove();
    svg.append("g").attr("class", "axis").attr("transform", `translate(0 ${height - bottom})`)
      .call(d3.axisBottom(x).tickValues(ticks(part.x, width - left)).tickFormat((i) => part.x[i]).tickSizeOuter(0));
    const thick = x.bandwidth() / part.series.length;
    part.series.forEach((series, place) => {
      const shown = series.values.map((value, i) => ({ value, i })).filter((bin) => bin.value);
      svg.append("g").selectAll("rect").data(shown).join("rect").attr("x", (bin) => x(bin.i) + place * thick)
        .attr("width", thick).attr("y", (bin) => y(bin.value)).attr("height", (bin) => y(0) - y(bin.value))
        .style("fill", colour(series.role))
        .append("title").text((bin) => `${series.name}, ${part.x[bin.i]}: ${d3.format(".1%")(bin.value)}`);
    });
    return height;
  }

  function flow(host, data) {
    panels(host, [["", (svg, width) => flowPanel(svg, width, data)]]);
  }

  function flowPanel(svg, width, data) {
    const text = (node) => `${d3.format(",")(node.count)} ${node.name}`;
    const nodes = data.nodes.map((node) => ({ name: node.label, role: node.role, count: node.value }));
    const sinks = new Set(d3.range(nodes.length).filter((i) => !data.links.some((link) => link.source === i)));
    const labels = svg.append("g").selectAll("text").data(nodes).join("text").attr("class", "halo").text(text);
    const longest = d3.max(labels.nodes().filter((_, i) => sinks.has(i)), (node) => node.getComputedTextLength()) || 0;
    const right = Math.min(longest, width * 0.45) + 8;
    const height = Math.max(110, sinks.size * 30);
    const graph = d3.sankey().nodeWidth(12).nodePadding(16).nodeSort(null).linkSort(null)
      .extent([[1, 10], [width - right, height - 10]])({ nodes, links: data.links.map((link) => ({ ...link })) });
    svg.insert("g", "g").attr("fill", "none").selectAll("path").data(graph.links).join("path")
      .attr("d", d3.sankeyLinkHorizontal()).style("stroke", (l) => colour(l.role)).attr("stroke-opacity", 0.38)
      .attr("stroke-width", (l) => Math.max(1.5, l.width))
      .append("title").text((l) => `${l.source.name} → ${l.target.name}: ${d3.format(",")(l.value)}`);
    svg.insert("g", "g:last-of-type").selectAll("rect").data(graph.nodes).join("rect").attr("x", (n) => n.x0)
      .attr("width", (n) => n.x1 - n.x0).attr("y", (n) => n.y0).attr("height", (n) => Math.max(2, n.y1 - n.y0))
      .style("fill", (n) => colour(n.role));
    labels.attr("x", (n) => n.x1 + 6).attr("y", (n) => (n.y0 + n.y1) / 2 + 4);
    labels.each(function (n, i) { fit(d3.select(this), sinks.has(i) ? right - 8 : (width - right) * 0.4); });
    return height;
  }

  function spans(host, data) {
    panels(host, [["", (svg, width) => spanPanel(svg, width, data)]]);
  }

  function spanPanel(svg, width, data) {
    const [row, left, bottom] = [26, 84, 28];
    const height = data.bars.length * row + bottom;
    const x = d3.scaleUtc([d3.min(data.bars, (bar) => bar.start), d3.max(data.bars, (bar) => bar.end)], [left, width - 14]);
    svg.append("g").attr("class", "axis").attr("transform", `translate(0 ${height - bottom})`)
      .call(d3.axisBottom(x).ticks(Math.max(2, Math.floor(width / 110))).tickSizeOuter(0));
    const bar = svg.selectAll("g.span").data(data.bars).join("g").attr("transform", (_, i) => `translate(0 ${i * row})`);
    bar.append("rect").attr("x", (b) => x(b.start)).attr("y", 3).attr("height", 18).attr("rx", 2)
      .attr("width", (b) => Math.max(2, x(b.end) - x(b.start))).style("fill", (b) => colour(b.role));
    bar.append("text").attr("x", left - 8).attr("y", 17).attr("text-anchor", "end").text((b) => b.label);
    return height;
  }

  const DRAWINGS = { bars, lines, shares, flow, spans };

  function draw(host) {
    const data = JSON.parse(host.parentElement.querySelector("script[type='application/json']").textContent);
    host.replaceChildren();
    DRAWINGS[host.dataset.drawing](host, data);
  }

  function drawAll() {
    const widths = new Map();
    const watcher = new ResizeObserver((seen) => {
      for (const { target } of seen) {
        if (widths.get(target) === target.clientWidth) continue;
        widths.set(target, target.clientWidth);
        draw(target);
      }
    });
    for (const host of document.querySelectorAll("[data-drawing]")) {
      widths.set(host, host.clientWidth);
      draw(host);
      watcher.observe(host);
    }
  }

  function sortable(table) {
    for (const [column, head] of [...table.tHead.rows[0].cells].entries()) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      button.addEventListener("click", () => sort(table, column, head));
      head.replaceChildren(button);
    }
  }

  function sort(table, column, head) {
    const before = head.getAttribute("aria-sort");
    const first = head.dataset.numeric === "true" ? "descending" : "ascending";
    const order = before ? (before === "ascending" ? "descending" : "ascending") : first;
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", order);
    const rows = [...table.tBodies[0].rows].map((row) => [row.cells[column].dataset.sort, row]);
    const figures = rows.map(([text]) => (text === "-inf" ? -Infinity : text === "" ? NaN : Number(text)));
    const numeric = !figures.some(Number.isNaN);
    const keyed = rows.map(([text, row], i) => [numeric ? figures[i] : text, row]);
    const sign = order === "ascending" ? 1 : -1;
    const compare = numeric ? (a, b) => d3.ascending(a[0], b[0]) : (a, b) => a[0].localeCompare(b[0]);
    keyed.sort((a, b) => sign * compare(a, b));
    table.tBodies[0].append(...keyed.map(([, row]) => row));
  }

  function themeButton() {
    const button = document.getElementById("theme");
    const names = ["automatic", "light", "dark"];
    let chosen = 0;
    button.hidden = false;
    button.addEventListener("click", () => {
      chosen = (chosen + 1) % names.length;
      if (chosen) document.documentElement.dataset.theme = names[chosen];
      else delete document.documentElement.dataset.theme;
      button.textContent = `Theme: ${names[chosen]}`;
    });
  }

  /* On paper nothing can be opened, and charts are drawn for its width (report.css: .printing). */
  function preparePrint() {
    let opened = [];
    window.addEventListener("beforeprint", () => {
      opened = [...document.querySelectorAll("details:not([open])")];
      for (const details of opened) details.open = true;
      document.body.classList.add("printing");
      for (const host of document.querySelectorAll("[data-drawing]")) draw(host);
    });
    window.addEventListener("afterprint", () => {
      for (const details of opened) details.open = false;
      document.body.classList.remove("printing");
      for (const host of document.querySelectorAll("[data-drawing]")) draw(host);
    });
  }

  for (const table of document.querySelectorAll("table")) sortable(table);
  themeButton();
  preparePrint();
  drawAll();
})();
