// Only the latest counts. Leaves: one running job at most. Knows nothing of what a job is.

/**
 * A function that runs `job(signal)` once nothing has called it for `wait` ms; a call aborts the run before it.
 *
 * `told({ busy, problem })` hears when work is due, when it is done, and what went wrong. A problem with `after` is
 * tried again after so many seconds.
 */
export function latest(job, told) {
  let timer = 0;
  let running = new AbortController();

  async function run() {
    const mine = (running = new AbortController());
    try {
      await job(mine.signal);
      if (!mine.signal.aborted) told({ busy: false, problem: null });
    } catch (problem) {
      if (mine.signal.aborted) return;
      told({ busy: problem.after !== null && problem.after !== undefined, problem });
      if (problem.after) timer = setTimeout(run, problem.after * 1000);
    }
  }

  return (wait = 250) => {
    clearTimeout(timer);
    running.abort();
    told({ busy: true });
    timer = setTimeout(run, wait);
  };
}

/** `ask(body, signal)` that keeps its last answer and gives it again for an equal body. */
export function remembering(ask) {
  let key = null;
  let answer = null;
  return async (body, signal) => {
    const asked = JSON.stringify(body);
    if (asked !== key) {
      const found = await ask(body, signal);
      [key, answer] = [asked, found];
    }
    return answer;
  };
}
