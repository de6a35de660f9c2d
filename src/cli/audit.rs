//! `entree audit`: searches the audit log. It answers "what happened to this sign-in?".

use std::collections::{HashMap, HashSet};

use clap::Args;
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    database::{find_user, format_time, with_database},
    keys,
    outcome::{CommandError, Outcome, load, parse_uuid},
    output,
};
use crate::{
    app::Macs,
    audit::{Column, Entity, Model},
    config::Source,
    db::Db,
    error::InfraError,
    secret::MasterKeys,
    user::{Address, public_ids},
};

#[derive(Debug, Args)]
pub(super) struct Query {
    /// Events of this user: `sub`, or a verified email address
    #[arg(long)]
    user: Option<String>,
    /// Events of this email address, whether a user has it or not. Needs the master key
    #[arg(long)]
    address: Option<String>,
    /// Events of this sign-in: the `flow` in its URLs and in other rows
    #[arg(long, value_parser = parse_uuid)]
    flow: Option<Uuid>,
    /// Events of this request: the reference that an error page shows
    #[arg(long, visible_alias = "request")]
    reference: Option<String>,
    /// Events of this kind, for instance `magic_link.refused`
    #[arg(long)]
    kind: Option<String>,
    /// Events about this upstream provider: its `id` in the configuration
    #[arg(long)]
    provider: Option<String>,
    /// The most events to show, the newest
    #[arg(long, default_value_t = 100)]
    limit: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(source: &Source, query: &Query) -> Outcome {
    let masters = match &query.address {
        Some(_) => Some(keys::master_keys(&load(source)?.config.startup)?),
        None => None,
    };
    with_database(source, async |db| {
        let rows = find_rows(db, query, masters.as_ref()).await?;
        let subs = load_subs(db, &rows).await?;
        if rows.is_empty() && !query.json {
            return output::print(&nothing_found(query));
        }
        show(&rows, &subs, query.json)
    })
}

/// Says what else to look for.
fn nothing_found(query: &Query) -> String {
    if let Some(reference) = &query.reference {
        let reference = reference.trim();
        // What belongs to no sign-in, session or user leaves no row, and errors of pages are such (OA-8).
        return format!(
            "no event has this reference: look for request_id={reference} in the log, whose line gives the reason"
        );
    }
    "no event matches".to_owned()
}

/// Returns the rows that match, the oldest first.
async fn find_rows(
    db: &Db,
    query: &Query,
    masters: Option<&MasterKeys>,
) -> Result<Vec<Model>, CommandError> {
    let mut select = Entity::find();
    if let Some(who) = &query.user {
        select = select.filter(Column::UserId.eq(find_user(db, who).await?.id));
    }
    if let (Some(address), Some(masters)) = (&query.address, masters) {
        let invalid = |_| CommandError::Message(format!("{address:?} is not an email address"));
        let address = Address::parse(address, true).map_err(invalid)?;
        select = select.filter(
            Column::AddressKey.eq(address.key(&Macs::new(masters).address).as_bytes().to_vec()),
        );
    }
    if let Some(flow) = query.flow {
        select = select.filter(Column::FlowId.eq(flow));
    }
    if let Some(reference) = &query.reference {
        select = select.filter(Column::RequestId.eq(reference.trim()));
    }
    if let Some(kind) = &query.kind {
        select = select.filter(Column::Kind.eq(kind));
    }
    if let Some(provider) = &query.provider {
        select = select.filter(Column::Provider.eq(provider));
    }
    let select = select
        .order_by_desc(Column::At)
        .order_by_desc(Column::Id)
        .limit(query.limit);
    let mut rows = select.all(db.read()).await.map_err(InfraError::from)?;
    rows.reverse();
    Ok(rows)
}

/// Returns `sub` for each user in these rows. A user who was deleted since has none.
async fn load_subs(db: &Db, rows: &[Model]) -> Result<HashMap<Uuid, Uuid>, CommandError> {
    let ids: HashSet<Uuid> = rows.iter().filter_map(|row| row.user_id).collect();
    Ok(public_ids(db.read(), &ids.into_iter().collect::<Vec<_>>()).await?)
}

fn show(rows: &[Model], subs: &HashMap<Uuid, Uuid>, json: bool) -> Outcome {
    let sub = |row: &Model| row.user_id.and_then(|id| subs.get(&id).copied());
    if json {
        return output::print(
            &Value::Array(rows.iter().map(|row| as_json(row, sub(row))).collect()).to_string(),
        );
    }
    let id = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let line = |row: &Model| {
        let (kind, why, user) = (row.kind.clone(), text(&row.reason), id(sub(row)));
        let (client, network) = (text(&row.client_id), text(&row.network));
        vec![
            format_time(row.at),
            kind,
            why,
            user,
            id(row.flow_id),
            client,
            network,
            text(&row.request_id),
        ]
    };
    let lines: Vec<_> = rows.iter().map(line).collect();
    output::print(&output::table(
        &[
            "AT", "WHAT", "WHY", "SUB", "FLOW", "CLIENT", "FROM", "REQUEST",
        ],
        &lines,
    ))
}

fn as_json(row: &Model, sub: Option<Uuid>) -> Value {
    json!({
        "at": format_time(row.at),
        "kind": row.kind,
        "reason": row.reason,
        "sub": sub,
        "flow": row.flow_id,
        "session": row.session_id,
        "client": row.client_id,
        "provider": row.provider,
        "network": row.network,
        "request_id": row.request_id,
    })
}

#[cfg(test)]
#[allow(
    clippy::too_many_lines,
    reason = "a table of cases reads best in one piece"
)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::{
        audit::{Event, Kind},
        cli::users::tests::database,
        magic_link::refusal::ConsumeRefusal,
        secret,
    };

    #[derive(clap::Parser)]
    struct Arguments {
        #[command(flatten)]
        query: Query,
    }

    #[tokio::test]
    async fn a_sign_in_is_found_by_user_address_flow_and_reference() {
        let (_file, db, user, _) = database().await;
        let masters = MasterKeys::new([7; 32], []);
        let key = Address::parse("unknown@example.com", false)
            .unwrap()
            .key(&Macs::new(&masters).address);
        let flow = secret::public_id();
        let tx = db.begin().await.unwrap();
        let requested = Event::new(Kind::MagicLinkRequested)
            .flow(flow)
            .address(key.as_bytes());
        requested
            .caller("192.0.2.1", "reference")
            .record(&tx)
            .await
            .unwrap();
        Event::new(Kind::MagicLinkRefused)
            .reason(ConsumeRefusal::Expired)
            .flow(flow)
            .record(&tx)
            .await
            .unwrap();
        Event::new(Kind::SignedIn)
            .user(user.id)
            .provider("office")
            .record(&tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        let found = async |words: &[&str]| {
            let query = Arguments::parse_from(std::iter::once(&"audit").chain(words)).query;
            let rows = find_rows(&db, &query, Some(&masters)).await.unwrap();
            rows.into_iter().map(|row| row.kind).collect::<Vec<_>>()
        };
        assert_eq!(
            found(&["--flow", &flow.to_string()]).await,
            ["magic_link.requested", "magic_link.refused"]
        );
        assert_eq!(
            found(&["--address", "Unknown@example.com"]).await,
            ["magic_link.requested"]
        );
        assert_eq!(found(&["--address", "other@example.com"]).await, [""; 0]);
        assert_eq!(
            found(&["--reference", "reference"]).await,
            ["magic_link.requested"]
        );
        assert_eq!(
            found(&["--request", "reference"]).await,
            ["magic_link.requested"],
            "its former name"
        );
        assert_eq!(
            found(&["--user", "ada@example.com"]).await,
            ["session.signed_in"]
        );
        assert_eq!(
            found(&["--limit", "1", "--kind", "magic_link.refused"]).await,
            ["magic_link.refused"]
        );
        assert_eq!(
            found(&["--provider", "office"]).await,
            ["session.signed_in"]
        );
        assert_eq!(found(&["--provider", "club"]).await, [""; 0]);
        assert_eq!(found(&[]).await.len(), 3);
        let all = find_rows(&db, &Arguments::parse_from(["audit"]).query, None)
            .await
            .unwrap();
        let subs = load_subs(&db, &all).await.unwrap();
        assert_eq!(subs, HashMap::from([(user.id, user.public_id)]));
        let shown = as_json(all.last().unwrap(), subs.get(&user.id).copied());
        assert_eq!(
            shown["sub"],
            json!(user.public_id),
            "as tokens carry it, not the row's own identifier"
        );
    }
}
