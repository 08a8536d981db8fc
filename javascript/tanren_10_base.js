/* Ground of Tanren's page scripts: elements, requests, copying, memory of this browser tab.
 *
 * The WebUI loads every file of this folder as a classic script, in alphabetical order, into one global scope that it
 * shares with all extensions. So each file is one function, and `tanren` is the only name they leave behind.
 * Whatever comes from a job (names, prompts, log lines, problems) reaches the page as text nodes only.
 */
(function () {
  "use strict";
  const tanren = (window.tanren = window.tanren || {});

  const LONGEST_TEXT = 10000;
  const REQUEST_SECONDS = 20;
  // Control characters and those that change the reading direction: they can make a text look like another one.
  const INVISIBLE = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

  /** Text fit for display: no invisible controls, at most `longest` characters. */
  tanren.clean = function (text, longest = LONGEST_TEXT) {
    const whole = String(text ?? "").replace(INVISIBLE, "");
    return whole.length > longest ? whole.slice(0, longest) + "…" : whole;
  };

  /**
   * An element with attributes, listeners and children.
   *
   * @param {string} tag such as "button"
   * @param {Object} [settings] `class`; `on` (event name to listener); `data` (dataset); all else attributes, where
   *   false, null and undefined leave the attribute away
   * @param {...(Node|string|null|false)} children strings become text nodes
   */
  tanren.el = function (tag, settings = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(settings)) {
      if (name === "on") Object.entries(value).forEach(([event, listener]) => node.addEventListener(event, listener));
      else if (name === "data") Object.assign(node.dataset, value);
      else if (value === true) node.setAttribute(name, "");
      else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, tanren.clean(value));
    }
    node.append(...children.filter((child) => child !== null && child !== false).map(asNode));
    return node;
  };

  function asNode(child) {
    return child instanceof Node ? child : document.createTextNode(tanren.clean(child));
  }

  /** A button that never submits a form. */
  tanren.button = function (label, onClick, settings = {}) {
    return tanren.el("button", { type: "button", class: "tn-button", on: { click: onClick }, ...settings }, label);
  };

  /** Write a text only where it differs: the WebUI looks at every change of its page. */
  tanren.setText = function (node, text) {
    const wanted = tanren.clean(text);
    if (node.textContent !== wanted) node.textContent = wanted;
  };

  /** Set or, with null, remove an attribute, only where it differs. */
  tanren.setAttribute = function (node, name, value) {
    if (value === null || value === undefined || value === false) {
      if (node.hasAttribute(name)) node.removeAttribute(name);
    } else if (node.getAttribute(name) !== String(value)) {
      node.setAttribute(name, String(value));
    }
  };

  /** Show or hide an element. */
  tanren.setShown = function (node, isShown) {
    if (node.hidden === Boolean(isShown)) node.hidden = !isShown;
  };

  /** Put exactly these children into a parent, in this order; those that stay are not touched, and keep the focus. */
  tanren.setChildren = function (parent, children) {
    const wanted = new Set(children);
    for (const node of [...parent.childNodes]) if (!wanted.has(node)) node.remove();
    children.forEach((child, place) => {
      const there = parent.childNodes[place] || null;
      if (there !== child) parent.insertBefore(child, there);
    });
  };

  /** What a server said no to, in the shape every problem has: code, where, what, why, fix. */
  tanren.Refused = class extends Error {
    constructor(problem, status) {
      super(String(problem.what || ""));
      this.problem = problem;
      this.status = status;
    }
  };

  /** The folder of the page, below which all our routes lie; a host may serve the page under a path of its own. */
  tanren.base = function () {
    const said = document.querySelector("#tanren-live[data-base]");
    if (said && said.dataset.base) return said.dataset.base.replace(/\/*$/, "/");
    const path = window.location.pathname;
    if (/\.html?$/.test(path)) return path.replace(/[^/]*$/, "");
    return path.endsWith("/") ? path : path + "/";
  };

  /** The address of one of our routes, such as `jobs/x/log`. */
  tanren.address = function (route) {
    return tanren.base() + "tanren/api/" + route;
  };

  /** Join parts of a route; each may hold any characters. */
  tanren.route = function (...parts) {
    return parts.map((part) => encodeURIComponent(String(part))).join("/");
  };

  // Questions stand in line, so that never more than one is under way; what the user asks for does not wait.
  let line = Promise.resolve();

  /**
   * Ask the server; the answer as JSON.
   *
   * @param {string} route below `tanren/api/`
   * @param {Object} [body] sent as JSON by POST; without it the request is a GET
   * @param {number} [seconds] how long an answer may take; one that takes longer than usual does not stand in line
   * @throws {tanren.Refused} the server said no and why
   * @throws {Error} it could not be reached, or did not answer in time or in JSON
   */
  tanren.ask = function (route, body, seconds = REQUEST_SECONDS) {
    if (body !== undefined || seconds > REQUEST_SECONDS) return request(route, body, seconds);
    const answer = line.then(() => request(route, undefined, seconds));
    line = answer.catch(() => null);
    return answer;
  };

  async function request(route, body, seconds) {
    const stop = new AbortController();
    const timer = window.setTimeout(() => stop.abort(), seconds * 1000);
    const settings = { cache: "no-store", credentials: "same-origin", signal: stop.signal };
    if (body !== undefined) {
      Object.assign(settings, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(body),
      });
    }
    try {
      const answer = await fetch(tanren.address(route), settings);
      return await contentOf(answer);
    } finally {
      window.clearTimeout(timer);
    }
  }

  async function contentOf(answer) {
    const isJson = (answer.headers.get("content-type") || "").includes("json");
    if (!isJson) throw new Error(`answer ${answer.status} is not JSON`);
    const content = await answer.json();
    if (answer.ok) return content;
    const problem = content.problem || { what: content.detail || content.error || `answer ${answer.status}` };
    throw new tanren.Refused(problem, answer.status);
  }

  /** Copy a text; also on plain http in a local network, where browsers refuse the clipboard to scripts. */
  tanren.copy = async function (text) {
    if (navigator.clipboard && window.isSecureContext) {
      try {
        await navigator.clipboard.writeText(text);
        return true;
      } catch (error) {
        // Not allowed here (no focus, or the user said no): the older way is tried.
      }
    }
    const area = tanren.el("textarea", { class: "tanren-sheet tn-offscreen", "aria-hidden": "true", tabindex: "-1" });
    area.value = text;
    const focused = document.activeElement;
    // Inside an open dialog only what belongs to it can be selected.
    (document.querySelector("dialog[open]") || document.body).append(area);
    area.select();
    const isCopied = document.execCommand("copy");
    area.remove();
    if (focused && focused.focus) focused.focus({ preventScroll: true });
    return isCopied;
  };

  /** What this browser tab remembers over a reload; nothing where the browser forbids it. */
  tanren.memory = {
    get(name) {
      try {
        return window.sessionStorage.getItem("tanren." + name);
      } catch (error) {
        return null;
      }
    },
    set(name, value) {
      try {
        if (value === null) window.sessionStorage.removeItem("tanren." + name);
        else window.sessionStorage.setItem("tanren." + name, value);
      } catch (error) {
        // Storage is switched off: the page works, it only forgets.
      }
    },
  };

  /** True while the user sees the element's part of the page; a tab of the WebUI that is not open is not drawn. */
  tanren.isDrawn = function (node) {
    return Boolean(node && node.isConnected && node.getClientRects().length);
  };

  /** Take a container of ours out of gradio's style for written text, which spaces and frames every element inside. */
  tanren.leaveProse = function (container) {
    for (let node = container; node; node = node.parentElement) node.classList.remove("prose");
  };

  /** A new id, also where `crypto.randomUUID` is kept for secure pages. */
  tanren.newId = function () {
    const bytes = window.crypto.getRandomValues(new Uint8Array(16));
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  };
})();
