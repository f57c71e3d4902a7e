// The page asks the REST API of the server that it came from, once for each label (or once for the newest version).
"use strict";

const SHOWN = 20;
const session = [];
let models = {};
let asked = 0;

const at = (id) => document.getElementById(id);

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

async function predict(label, items) {
  const place = label ? `/labels/${encodeURIComponent(label)}` : "";
  const started = performance.now();
  const response = await fetch(`/v1/models/${encodeURIComponent(at("model").value)}${place}:predict`, {
    method: "POST",
    body: JSON.stringify({ instances: [items.length ? items : [""]] }),
  });
  const answer = await response.json();
  const milliseconds = performance.now() - started;
  if (!response.ok) throw new Error(answer.error);
  const { item_ids: ids, scores } = answer.predictions[0];
  return { label, milliseconds, rows: ids.map((id, place) => ({ id, score: scores[place] })) };
}

function labels() {
  const known = models[at("model").value]?.labels ?? {};
  const shown = ["stable", "canary"].filter((label) => label in known);
  return shown.length ? shown : [""];
}

function versionOf(label) {
  const model = models[at("model").value];
  return label ? model.labels[label] : model.version;
}

function view(item) {
  session.push(item);
  refresh();
}

function itemButton(item, ...inside) {
  return element("button", { type: "button", onclick: () => view(item) }, ...(inside.length ? inside : [item]));
}

function showSession() {
  at("session").replaceChildren(
    ...session.map((item, place) => {
      const remove = () => { session.splice(place, 1); refresh(); };
      return element("li", {}, element("button", { type: "button", title: "take it out", onclick: remove }, item));
    }),
  );
}

function column(answer, answers) {
  const others = answers.filter((other) => other !== answer);
  const list = element("ol", {}, ...answer.rows.slice(0, SHOWN).map((row, place) => {
    const button = itemButton(
      row.id,
      element("span", { className: "rank" }, String(place + 1)),
      element("span", {}, row.id),
      element("span", { className: "score" }, row.score.toFixed(3)),
    );
    const elsewhere = (other) => other.rows.slice(0, SHOWN).some((found) => found.id === row.id);
    if (!others.every(elsewhere)) {
      button.classList.add("only");
      button.title = "not among the other version's";
    }
    return element("li", {}, button);
  }));
  const facts = `version ${versionOf(answer.label)} · ${answer.milliseconds.toFixed(1)} ms`;
  const made = element("section", { className: "answer" }, element("h2", {}, answer.label || "newest"), element("p", {}, facts), list);
  made.dataset.label = answer.label || "newest";
  return made;
}

async function refresh() {
  const number = ++asked;
  showSession();
  try {
    models = (await (await fetch("models.json")).json()).models;
    const answers = await Promise.all(labels().map((label) => predict(label, session)));
    if (number !== asked) return; // a later click has asked meanwhile
    at("answers").replaceChildren(...answers.map((answer) => column(answer, answers)));
    at("error").hidden = true;
  } catch (error) {
    if (number !== asked) return;
    at("error").textContent = `No answer: ${error.message}`;
    at("error").hidden = false;
  }
}

async function showCatalogue() {
  const popular = await predict(labels()[0], []);
  at("catalogue").replaceChildren(...popular.rows.map((row) => element("li", {}, itemButton(row.id))));
  at("known").replaceChildren(...popular.rows.map((row) => element("option", { value: row.id })));
}

async function start() {
  models = (await (await fetch("models.json")).json()).models;
  at("model").replaceChildren(...Object.keys(models).map((name) => element("option", {}, name)));
  at("model").onchange = () => { session.length = 0; showCatalogue(); refresh(); };
  at("clear").onclick = () => { session.length = 0; refresh(); };
  at("add").onsubmit = (event) => {
    event.preventDefault();
    if (at("item").value) view(at("item").value);
    at("item").value = "";
  };
  await showCatalogue();
  await refresh();
}

start().catch((error) => {
  at("error").textContent = `No answer: ${error.message}`;
  at("error").hidden = false;
});
