// What was pushed since the page was opened: how many of each notification, and the last.

/** @typedef {{ count: number, time: number, params: any }} Sight */

export class Seen {
  /** @type {Map<string, Sight>} by their names */ byName = new Map();

  /** What one user was told is not for the next. @param {import("../client.js").Api} api */
  follow(api) {
    /** @type {string | undefined} */ let userId;
    api.on("*", (method, params) => {
      if (method === "/v1/session/ready" && params.user.id !== userId) this.byName.clear();
      if (method === "/v1/session/ready") userId = params.user.id;
      this.byName.set(method, { count: (this.byName.get(method)?.count ?? 0) + 1, time: Date.now(), params });
    });
  }
}
