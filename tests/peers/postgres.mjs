// A store of oidc-provider on PostgreSQL: one table, one prepared statement a call, as many connections as Entree has
// by default. The server is that of PGHOST, PGUSER and PGDATABASE.
import pg from 'pg';

const pool = new pg.Pool({ max: 16 });

const schema = `
  CREATE TABLE oidc_records (
    model text NOT NULL,
    id text NOT NULL,
    payload jsonb NOT NULL,
    grant_id text,
    session_uid text,
    consumed_at bigint,
    expires_at timestamptz,
    PRIMARY KEY (model, id)
  );
  CREATE INDEX ON oidc_records (grant_id) WHERE grant_id IS NOT NULL;
  CREATE INDEX ON oidc_records (session_uid) WHERE session_uid IS NOT NULL;
`;

export const prepare = () => pool.query(schema);

const statements = {
  upsert: `INSERT INTO oidc_records (model, id, payload, grant_id, session_uid, expires_at)
    VALUES ($1, $2, $3, $4, $5, now() + $6 * interval '1 second')
    ON CONFLICT (model, id) DO UPDATE
    SET payload = excluded.payload, grant_id = excluded.grant_id, session_uid = excluded.session_uid, expires_at = excluded.expires_at`,
  find: `SELECT payload, consumed_at FROM oidc_records
    WHERE model = $1 AND id = $2 AND (expires_at IS NULL OR expires_at > now())`,
  findByUid: `SELECT payload, consumed_at FROM oidc_records
    WHERE model = $1 AND session_uid = $2 AND (expires_at IS NULL OR expires_at > now())`,
  consume: 'UPDATE oidc_records SET consumed_at = extract(epoch FROM now())::bigint WHERE model = $1 AND id = $2 AND consumed_at IS NULL',
  destroy: 'DELETE FROM oidc_records WHERE model = $1 AND id = $2',
  revoke: 'DELETE FROM oidc_records WHERE grant_id = $1',
};

const run = (name, values) => pool.query({ name, text: statements[name], values });

function payloadOf({ rows: [row] }) {
  if (row === undefined) return undefined;
  return row.consumed_at === null ? row.payload : { ...row.payload, consumed: Number(row.consumed_at) };
}

export default class PostgresStore {
  constructor(model) {
    this.model = model;
  }

  async upsert(id, payload, seconds) {
    const isSession = this.model === 'Session';
    const grant = isSession || this.model === 'Grant' ? null : payload.grantId ?? null;
    await run('upsert', [this.model, id, payload, grant, isSession ? payload.uid : null, seconds ?? null]);
  }

  async find(id) {
    return payloadOf(await run('find', [this.model, id]));
  }

  async findByUid(uid) {
    return payloadOf(await run('findByUid', [this.model, uid]));
  }

  // No device signs in here.
  async findByUserCode() {}

  async consume(id) {
    await run('consume', [this.model, id]);
  }

  async destroy(id) {
    await run('destroy', [this.model, id]);
  }

  async revokeByGrantId(grantId) {
    await run('revoke', [grantId]);
  }
}
