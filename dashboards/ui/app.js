// Keeps the status page current and sends its changes. The server renders everything that is shown;
// this fetches the page again, with the token when there is one, and swaps the part that lives.
// The token stays in this tab (sessionStorage) and goes nowhere but to this router.

const REFRESH_MS = 2000;
const ANSWER_MS = 20000;

const at = (id) => document.getElementById(id);
const token = () => sessionStorage.getItem("crossfade-token") ?? "";
const authorization = () => (token() ? { Authorization: `Bearer ${token()}` } : {});

function say(text, kind) {
  const notice = at("notice");
  notice.textContent = text;
  notice.className = `banner ${kind}`;
  notice.hidden = !text;
}

function remember(secret) {
  sessionStorage.setItem("crossfade-token", secret);
  at("token").textContent = "Forget the token";
}

function forget() {
  sessionStorage.removeItem("crossfade-token");
  at("token").textContent = "Use a token";
}

async function send(path, options) {
  return fetch(path, { cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS), ...options });
}

let shown = "";
let lost = false;

async function refresh() {
  try {
    const answer = await send(location.pathname, { headers: authorization() });
    if (answer.status === 401 && token()) {
      forget();
      say("The token is not one of this router's. Paste another one.", "bad");
      return;
    }
    if (!answer.ok) throw new Error(`the router answers ${answer.status}`);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("live");
    if (lost) say("", "");
    lost = false;
    if (fresh.innerHTML === shown) return;
    shown = fresh.innerHTML;
    const focused = document.activeElement?.dataset?.focus;
    at("live").replaceChildren(...document.adoptNode(fresh).childNodes);
    enable(at("live"));
    if (focused) document.querySelector(`#live [data-focus="${CSS.escape(focused)}"]`)?.focus();
  } catch (error) {
    lost = true;
    say(`No answer from the router (${error.message}). What is shown may be old.`, "bad");
  }
}

async function keepCurrent() {
  if (!document.hidden) await refresh();
  setTimeout(keepCurrent, REFRESH_MS);
}

let asked = null;

function ask(button) {
  asked = { ...button.dataset };
  at("act-title").textContent = asked.title;
  at("act-note").textContent = asked.note;
  at("act-token-field").hidden = token() !== "";
  at("act-send").textContent = asked.verb;
  at("act-send").className = asked.danger ? "danger solid" : "primary";
  at("act-error").hidden = true;
  at("act").showModal();
  (token() ? at("act-reason") : at("act-token")).focus();
}

async function act(event) {
  event.preventDefault();
  const failed = (text) => {
    at("act-error").textContent = text;
    at("act-error").hidden = false;
  };
  const pasted = at("act-token").value.trim();
  const reason = at("act-reason").value.replace(/\s+/g, " ").trim();
  if (!token() && !pasted) return failed("Paste a token with role operator.");
  if (!reason) return failed("Say why; the history keeps it.");
  if (!token()) remember(pasted);
  at("act-send").disabled = true;
  try {
    const answer = await send(`${asked.path}?wait=5s`, {
      method: asked.method,
      headers: { ...authorization(), "Content-Type": "application/json" },
      body: JSON.stringify({ ...JSON.parse(asked.body), reason }),
    });
    const body = await answer.json();
    if (answer.status === 401) {
      forget();
      at("act-token-field").hidden = false;
    }
    if (!answer.ok) return failed(body.detail ?? `The router answers ${answer.status}.`);
    at("act").close();
    at("act-reason").value = "";
    at("act-token").value = "";
    report(answer.status, body.changes ?? [body]);
    await refresh();
  } catch (error) {
    failed(`No answer from the router (${error.message}). The change may have been made: look before you repeat it.`);
  } finally {
    at("act-send").disabled = false;
  }
}

function report(status, changes) {
  const names = changes.map((change) => `${change.migration}: ${change.after.mode}`).join(", ");
  if (status === 202) return say(`Done on this router only, until the store is back. ${names}`, "");
  const late = [...new Set(changes.flatMap((change) => change.pending))];
  if (late.length) return say(`Done, but not everywhere yet: ${late.join(", ")}. ${names}`, "");
  say(`Done on every live router. ${names}`, "good");
}

function signIn(event) {
  event.preventDefault();
  const given = at("sign-in-token").value.trim();
  at("sign-in-token").value = "";
  at("sign-in").close();
  if (!given) return;
  remember(given);
  say("", "");
  refresh();
}

// Buttons are useless without this script, so they arrive disabled.
function enable(root) {
  root.querySelectorAll("button").forEach((button) => { button.disabled = false; });
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.path) ask(button);
  else if (button.dataset.close) button.closest("dialog").close();
  else if (button.id === "token" && token()) {
    forget();
    refresh();
  } else if (button.id === "token") at("sign-in").showModal();
});
at("act-form").addEventListener("submit", act);
at("sign-in-form").addEventListener("submit", signIn);
if (token()) at("token").textContent = "Forget the token";
enable(document);
keepCurrent();
