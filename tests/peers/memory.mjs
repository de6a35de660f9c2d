// A store in memory for oidc-provider. Its own keeps 1,000 entries and walks all tokens of a grant at each write, so
// that it would become slower with each flow of the same user; here each call takes the same time, and nothing is
// evicted.
const records = new Map();
const sessionsByUid = new Map();
const keysOfGrant = new Map();

export default class MemoryStore {
  constructor(model) {
    this.model = model;
  }

  async upsert(id, payload, seconds) {
    const key = `${this.model}/${id}`;
    records.set(key, { payload, until: seconds ? Date.now() + seconds * 1000 : Infinity });
    if (this.model === 'Session') sessionsByUid.set(payload.uid, id);
    if (!payload.grantId || this.model === 'Session') return;
    let keys = keysOfGrant.get(payload.grantId);
    if (keys === undefined) {
      keys = new Set();
      keysOfGrant.set(payload.grantId, keys);
    }
    keys.add(key);
  }

  async find(id) {
    const record = records.get(`${this.model}/${id}`);
    return record !== undefined && record.until > Date.now() ? record.payload : undefined;
  }

  async findByUid(uid) {
    const id = sessionsByUid.get(uid);
    return id === undefined ? undefined : this.find(id);
  }

  // No device signs in here.
  async findByUserCode() {}

  async consume(id) {
    const record = records.get(`${this.model}/${id}`);
    if (record !== undefined) record.payload.consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    const key = `${this.model}/${id}`;
    keysOfGrant.get(records.get(key)?.payload.grantId)?.delete(key);
    records.delete(key);
  }

  async revokeByGrantId(grantId) {
    for (const key of keysOfGrant.get(grantId) ?? []) records.delete(key);
    keysOfGrant.delete(grantId);
  }
}
