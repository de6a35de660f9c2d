//! `entree audit`: what happened, from the audit trail. It answers "what became of this sign-in?".

use std::collections::{HashMap, HashSet};

use clap::Args;
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Outcome, Refusal,
    admin::{find, moment, with_db},
    identifier, keys, load, out,
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
pub(super) struct Question {
    /// Of this user: `sub`, or a proven e-mail address
    #[arg(long)]
    user: Option<String>,
    /// Of this e-mail address, whether anybody has it or not. Needs the master key
    #[arg(long)]
    address: Option<String>,
    /// Of this sign-in: the `flow` in its addresses, and in other lines of the trail
    #[arg(long, value_parser = identifier)]
    flow: Option<Uuid>,
    /// Of this request: the reference that an error page shows
    #[arg(long)]
    request: Option<String>,
    /// Of this kind, for instance `magic_link.refused`
    #[arg(long)]
    kind: Option<String>,
    /// About this upstream provider: its `id` in the configuration
    #[arg(long)]
    provider: Option<String>,
    /// At most so many, the newest
    #[arg(long, default_value_t = 100)]
    limit: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(source: &Source, question: &Question) -> Outcome {
    let masters = match &question.address {
        Some(_) => Some(keys::masters(&load(source)?.config.startup)?),
        None => None,
    };
    with_db(source, async |db| {
        let rows = rows(db, question, masters.as_ref()).await?;
        let subs = subs(db, &rows).await?;
        show(&rows, &subs, question.json);
        Ok(())
    })
}

/// What fits the question, the oldest first.
async fn rows(
    db: &Db,
    question: &Question,
    masters: Option<&MasterKeys>,
) -> Result<Vec<Model>, Refusal> {
    let mut query = Entity::find();
    if let Some(who) = &question.user {
        query = query.filter(Column::UserId.eq(find(db, who).await?.id));
    }
    if let (Some(address), Some(masters)) = (&question.address, masters) {
        let wrong = |_| Refusal::Words(format!("{address:?} is no e-mail address"));
        let address = Address::parse(address, true).map_err(wrong)?;
        query = query.filter(
            Column::AddressKey.eq(address.key(&Macs::new(masters).address).as_bytes().to_vec()),
        );
    }
    if let Some(flow) = question.flow {
        query = query.filter(Column::FlowId.eq(flow));
    }
    if let Some(request) = &question.request {
        query = query.filter(Column::RequestId.eq(request.trim()));
    }
    if let Some(kind) = &question.kind {
        query = query.filter(Column::Kind.eq(kind));
    }
    if let Some(provider) = &question.provider {
        query = query.filter(Column::Provider.eq(provider));
    }
    let query = query
        .order_by_desc(Column::At)
        .order_by_desc(Column::Id)
        .limit(question.limit);
    let mut rows = query.all(db.read()).await.map_err(InfraError::from)?;
    rows.reverse();
    Ok(rows)
}

/// What tokens call the users in these rows; who was deleted since has no name any more.
async fn subs(db: &Db, rows: &[Model]) -> Result<HashMap<Uuid, Uuid>, Refusal> {
    let ids: HashSet<Uuid> = rows.iter().filter_map(|row| row.user_id).collect();
    Ok(public_ids(db.read(), &ids.into_iter().collect::<Vec<_>>()).await?)
}

fn show(rows: &[Model], subs: &HashMap<Uuid, Uuid>, json: bool) {
    let sub = |row: &Model| row.user_id.and_then(|id| subs.get(&id).copied());
    if json {
        out::answer(
            &Value::Array(rows.iter().map(|row| as_json(row, sub(row))).collect()).to_string(),
        );
        return;
    }
    let id = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let line = |row: &Model| {
        let (kind, why, user) = (row.kind.clone(), text(&row.reason), id(sub(row)));
        let (client, network) = (text(&row.client_id), text(&row.network));
        vec![
            moment(row.at),
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
    out::answer(&out::table(
        &[
            "AT", "WHAT", "WHY", "SUB", "FLOW", "CLIENT", "FROM", "REQUEST",
        ],
        &lines,
    ));
}

fn as_json(row: &Model, sub: Option<Uuid>) -> Value {
    json!({
        "at": moment(row.at),
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
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::{
        audit::{Event, Kind},
        cli::admin::tests::database,
        secret,
    };

    #[derive(clap::Parser)]
    struct Asked {
        #[command(flatten)]
        question: Question,
    }

    #[tokio::test]
    async fn a_sign_in_is_found_by_user_address_flow_and_reference() {
        let (_file, db, user, _) = database().await;
        let masters = MasterKeys::new([7; 32], []);
        let key = Address::parse("nobody@example.com", false)
            .unwrap()
            .key(&Macs::new(&masters).address);
        let flow = secret::public_id();
        let tx = db.begin().await.unwrap();
        let asked = Event::new(Kind::MagicLinkRequested)
            .flow(flow)
            .address(key.as_bytes());
        asked
            .caller("192.0.2.1", "reference")
            .record(&tx)
            .await
            .unwrap();
        Event::new(Kind::MagicLinkRefused)
            .reason("expired")
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
            let question = Asked::parse_from(std::iter::once(&"audit").chain(words)).question;
            let rows = rows(&db, &question, Some(&masters)).await.unwrap();
            rows.into_iter().map(|row| row.kind).collect::<Vec<_>>()
        };
        assert_eq!(
            found(&["--flow", &flow.to_string()]).await,
            ["magic_link.requested", "magic_link.refused"]
        );
        assert_eq!(
            found(&["--address", "Nobody@example.com"]).await,
            ["magic_link.requested"]
        );
        assert_eq!(found(&["--address", "somebody@example.com"]).await, [""; 0]);
        assert_eq!(
            found(&["--request", "reference"]).await,
            ["magic_link.requested"]
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
        let all = rows(&db, &Asked::parse_from(["audit"]).question, None)
            .await
            .unwrap();
        let subs = subs(&db, &all).await.unwrap();
        assert_eq!(subs, HashMap::from([(user.id, user.public_id)]));
        let shown = as_json(all.last().unwrap(), subs.get(&user.id).copied());
        assert_eq!(
            shown["sub"],
            json!(user.public_id),
            "as tokens carry it, not the row's own identifier"
        );
    }
}
