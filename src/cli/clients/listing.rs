//! `entree clients list` and `show`: every client that there is, wherever it stands, and never a secret.

use serde_json::{Value, json};

use super::{definition_context, warn_hidden};
use crate::{
    cli::{Outcome, Refusal, admin::moment, out},
    client::store,
    clock::Time,
    config::{Client, Config, Problem},
    db::Db,
    error::InfraError,
};

/// A client as `list` and `show` tell of it.
pub(super) struct Listed {
    pub(super) id: String,
    pub(super) from: &'static str,
    pub(super) state: &'static str,
    /// What it is, or what is wrong with it.
    pub(super) read: Result<Client, Vec<Problem>>,
    changed: Option<Time>,
}

pub(super) async fn listed(db: &Db, config: &Config) -> Result<Vec<Listed>, InfraError> {
    let of_file = |client: &Client| Listed {
        id: client.client_id.clone(),
        from: "file",
        state: "active",
        read: Ok(client.clone()),
        changed: None,
    };
    let mut list: Vec<Listed> = config.reloadable.clients.iter().map(of_file).collect();
    for row in store::list(db.read()).await? {
        let read = definition_context(config)
            .parse_row(&row)
            .map(|(client, _)| client);
        let state = match () {
            () if !row.enabled => "disabled",
            () if read.is_err() => "broken",
            () if config
                .reloadable
                .clients
                .iter()
                .any(|client| client.client_id == row.client_id) =>
            {
                "hidden"
            }
            () => "active",
        };
        list.push(Listed {
            id: row.client_id,
            from: "database",
            state,
            read,
            changed: Some(row.updated_at),
        });
    }
    Ok(list)
}

pub(super) async fn list(db: &Db, config: &Config, json: bool) -> Outcome {
    let list = listed(db, config).await?;
    if json {
        let list: Result<Vec<Value>, Refusal> = list.iter().map(as_json).collect();
        out::answer(&Value::Array(list?).to_string());
        return Ok(());
    }
    let row = |one: &Listed| {
        let name = one
            .read
            .as_ref()
            .map(|client| client.name.clone())
            .unwrap_or_default();
        let audience = one
            .read
            .as_ref()
            .map(|client| client.audience.clone())
            .unwrap_or_default();
        let changed = one.changed.map(moment).unwrap_or_default();
        vec![
            one.id.clone(),
            name,
            audience,
            one.from.to_owned(),
            one.state.to_owned(),
            changed,
        ]
    };
    let rows: Vec<_> = list.iter().map(row).collect();
    out::answer(&out::table(
        &["CLIENT", "NAME", "AUDIENCE", "FROM", "STATE", "CHANGED"],
        &rows,
    ));
    for one in list.iter().filter(|one| one.from == "database") {
        warn_hidden(config, &one.id);
    }
    Ok(())
}

pub(super) async fn show(db: &Db, config: &Config, id: &str, json: bool) -> Outcome {
    // The one that is in force, where there are two.
    let Some(one) = listed(db, config)
        .await?
        .into_iter()
        .find(|one| one.id == id)
    else {
        let words = format!(
            "neither the configuration nor the database has a client {id:?}: see `entree clients list`"
        );
        return Err(words.into());
    };
    let value = as_json(&one)?;
    if json {
        out::answer(&value.to_string());
        return Ok(());
    }
    let Value::Object(fields) = value else {
        return Ok(());
    };
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => list
            .iter()
            .map(|one| one.as_str().unwrap_or_default())
            .collect::<Vec<_>>()
            .join(" "),
        other => other.to_string(),
    };
    let rows: Vec<_> = fields
        .iter()
        .filter(|(key, _)| *key != "problems")
        .map(|(key, value)| vec![key.clone(), text(value)])
        .collect();
    out::answer(out::table(&["", ""], &rows).trim_start());
    if let Err(problems) = &one.read {
        out::problems(problems, "of the client; it is left out");
    }
    warn_hidden(config, id);
    Ok(())
}

pub(super) fn as_json(one: &Listed) -> Result<Value, Refusal> {
    let mut value = match &one.read {
        Ok(client) => shown(client)?,
        Err(problems) => json!({ "client_id": one.id, "problems": problems }),
    };
    if let Value::Object(fields) = &mut value {
        fields.insert("from".to_owned(), one.from.into());
        fields.insert("state".to_owned(), one.state.into());
        if let Some(changed) = one.changed {
            fields.insert("changed_at".to_owned(), moment(changed).into());
        }
    }
    Ok(value)
}

/// Every key of a client; of its secrets how many there are.
pub(super) fn shown(client: &Client) -> Result<Value, Refusal> {
    let mut value = serde_json::to_value(client).map_err(|error| error.to_string())?;
    if let Value::Object(fields) = &mut value {
        fields.remove("client_secret_sha256");
        fields.retain(|_, value| !value.is_null());
        fields.insert(
            "secrets".to_owned(),
            client.client_secret_sha256.len().into(),
        );
    }
    Ok(value)
}
