/* Deleted jobs below the list of all: put back, or removed for good. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  /**
   * A folded list of deleted jobs, which is out of sight while there are none.
   *
   * @param {Object} settings
   * @param {() => void} settings.onChange told after a job was put back or removed
   * @returns {{root: Element, update: (count: number) => void}} `update` takes how many there are now
   */
  tanren.makeTrash = function ({ onChange }) {
    const head = el("summary", {});
    const list = el("ul", { class: "tn-jobs" });
    const problem = el("div", {});
    const root = el("details", { class: "tn-folded tn-trash", on: { toggle: () => root.open && load() } }, head, problem, list);
    let count = null;
    let isBusy = false;
    tanren.setShown(root, false);

    async function load() {
      try {
        const answer = await tanren.ask("trash");
        tanren.setChildren(list, (answer.jobs || []).map(row));
        say((answer.jobs || []).length);
      } catch (error) {
        show(tanren.problemOf(error));
      }
    }

    function say(number) {
      count = number;
      tanren.setShown(root, number);
      tanren.setText(head, t("Deleted jobs ({count})", { count: tanren.number(number) }));
    }

    function show(shown) {
      problem.replaceChildren(...(shown ? [tanren.problemCard(shown)] : []));
    }

    function row(job) {
      const facts = [job.created ? tanren.moment(job.created) : "", tanren.bytes(job.bytes)].filter(Boolean).join(" · ");
      const text = el("span", { class: "tn-row-text" }, el("span", { class: "tn-name", title: job.name }, job.name), el("span", { class: "tn-facts-line" }, facts));
      const buttons = tanren.mayWrite()
        ? [
            tanren.button(t("Put back"), () => perform(job, "put_back"), { class: "tn-button tn-small", data: { trash: "put_back" } }),
            tanren.button(t("Delete for good…"), () => remove(job), { class: "tn-button tn-small tn-quiet-danger", data: { trash: "remove" } }),
          ]
        : [];
      return el("li", { class: "tn-trashed" }, text, el("div", { class: "tn-buttons" }, ...buttons));
    }

    async function remove(job) {
      const isSure = await tanren.askUser({
        title: t("Delete “{name}” for good?", { name: job.name }),
        body: [t("{size} are freed. This cannot be undone.", { size: tanren.bytes(job.bytes) })],
        yes: t("Delete for good"),
        isDangerous: true,
      });
      if (isSure) await perform(job, "remove");
    }

    async function perform(job, action) {
      if (isBusy) return;
      isBusy = true;
      show(null);
      try {
        const answer = await tanren.ask(tanren.route("trash", job.id, action), {});
        if (answer.left) show({ what: t("Files that are not of this job stay in {folder}.", { folder: answer.left }) });
      } catch (error) {
        show(tanren.problemOf(error));
      } finally {
        isBusy = false;
      }
      await load();
      onChange();
    }

    return {
      root,
      update(number) {
        if (number === count) return;
        say(number);
        if (root.open) load();
      },
    };
  };
})();
