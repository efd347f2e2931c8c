// Lists, creates, changes and deletes orders by the service's HTTP interface.

const KEY = "orders.service";
const FIELDS = ["order_id", "product_id", "quantity", "amount", "shipping", "tax", "shipping_address"];
const byId = (id) => document.getElementById(id);
const form = byId("order");
let base = "";
let changing = null;

/** Where the service is: `?api=`, what was used last, or port 8080 of this page's host. */
function firstBase() {
  const asked = new URLSearchParams(location.search).get("api");
  return asked || localStorage.getItem(KEY) || `${location.protocol}//${location.hostname}:8080`;
}

function say(text, isError = false) {
  const status = byId("status");
  status.textContent = text;
  status.classList.toggle("error", isError);
}

/** Sends one request; gives the parsed answer, or throws with the service's reason. */
async function ask(path, body) {
  const options = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  let response;
  try {
    response = await fetch(base + path, options);
  } catch {
    throw new Error(`No answer from ${base}`);
  }
  const text = await response.text();
  let answer = null;
  try {
    answer = JSON.parse(text);
  } catch {
    // Said below, with the status.
  }
  if (!response.ok || answer === null) {
    throw new Error(answer?.reason ?? `${base} answered ${response.status}`);
  }
  return answer;
}

/** Runs an action with all buttons locked, and says how it went. */
async function run(doing, done, action) {
  const buttons = [...document.querySelectorAll("button")];
  for (const button of buttons) button.disabled = true;
  say(doing);
  try {
    await action();
    say(done);
  } catch (error) {
    say(error.message, true);
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}

async function list() {
  const orders = await ask("/orders");
  byId("orders").replaceChildren(...orders.map(row));
  byId("none").hidden = orders.length > 0;
}

function row(order) {
  const line = document.createElement("tr");
  line.dataset.order = order.order_id;
  for (const name of FIELDS) {
    const cell = document.createElement("td");
    cell.textContent = order[name];
    line.append(cell);
  }
  const actions = document.createElement("div");
  actions.className = "actions";
  actions.append(
    button("Change", `Change order ${order.order_id}`, () => change(order)),
    button("Delete", `Delete order ${order.order_id}`, () => remove(order)),
  );
  line.append(document.createElement("td"));
  line.lastChild.append(actions);
  return line;
}

function button(text, label, action) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.setAttribute("aria-label", label);
  made.addEventListener("click", action);
  return made;
}

/** Puts an order into the form, or with `null` makes the form one for a new order. */
function change(order) {
  changing = order?.order_id ?? null;
  form.reset();
  for (const name of FIELDS) form.elements[name].value = order?.[name] ?? "";
  form.elements.order_id.readOnly = changing !== null;
  byId("form-title").textContent = changing === null ? "New order" : `Order ${changing}`;
  byId("save").textContent = changing === null ? "Create" : "Save";
  byId("cancel").hidden = changing === null;
  if (changing !== null) form.elements.product_id.focus();
}

function remove(order) {
  return run("Deleting…", `Order ${order.order_id} is deleted.`, async () => {
    await ask(`/delete_order?id=${order.order_id}`);
    if (changing === order.order_id) change(null);
    await list();
  });
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const order = Object.fromEntries(
    FIELDS.map((name) => [name, name === "shipping_address" ? form.elements[name].value : Number(form.elements[name].value)]),
  );
  const [path, done] = changing === null ? ["/create_order", "created"] : ["/update_order", "saved"];
  run("Saving…", `Order ${order.order_id} is ${done}.`, async () => {
    await ask(path, order);
    change(null);
    await list();
  });
});

byId("cancel").addEventListener("click", () => change(null));
byId("reload").addEventListener("click", () => run("Loading…", "Loaded.", list));
byId("init").addEventListener("click", () => {
  if (!confirm("Delete all orders and make the table anew?")) return;
  run("Emptying…", "The table is empty.", async () => {
    await ask("/init");
    change(null);
    await list();
  });
});
byId("service").addEventListener("submit", (event) => {
  event.preventDefault();
  connect(byId("base").value);
});

function connect(address) {
  base = address.replace(/\/+$/, "");
  byId("base").value = base;
  localStorage.setItem(KEY, base);
  return run("Loading…", "Loaded.", list);
}

connect(firstBase());
