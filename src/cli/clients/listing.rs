//! `entree clients list` and `show`: every client of the file and of the database, without secrets.

use serde_json::{Value, json};

use super::hidden::{definition_context, warn_hidden};
use crate::{
    cli::{
        database::format_time,
        outcome::{CommandError, Outcome},
        output,
    },
    client::store,
    clock::Time,
    config::{Client, Config, Problem},
    db::Db,
    error::InfraError,
};

/// A client as `list` and `show` print it.
pub(super) struct ListedClient {
    pub(super) id: String,
    pub(super) from: &'static str,
    pub(super) state: &'static str,
    /// The definition, or its problems.
    pub(super) definition: Result<Client, Vec<Problem>>,
    changed: Option<Time>,
}

pub(super) async fn list_all(db: &Db, config: &Config) -> Result<Vec<ListedClient>, InfraError> {
    let of_file = |client: &Client| ListedClient {
        id: client.client_id.clone(),
        from: "file",
        state: "active",
        definition: Ok(client.clone()),
        changed: None,
    };
    let mut list: Vec<ListedClient> = config.reloadable.clients.iter().map(of_file).collect();
    for row in store::list(db.read()).await? {
        let definition = definition_context(config)
            .parse_row(&row)
            .map(|(client, _)| client);
        let state = match () {
            () if !row.enabled => "disabled",
            () if definition.is_err() => "broken",
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
        list.push(ListedClient {
            id: row.client_id,
            from: "database",
            state,
            definition,
            changed: Some(row.updated_at),
        });
    }
    Ok(list)
}

pub(super) async fn list(db: &Db, config: &Config, json: bool) -> Outcome {
    let list = list_all(db, config).await?;
    if json {
        let list: Result<Vec<Value>, CommandError> = list.iter().map(as_json).collect();
        return output::print(&Value::Array(list?).to_string());
    }
    let row = |one: &ListedClient| {
        let name = one
            .definition
            .as_ref()
            .map(|client| client.name.clone())
            .unwrap_or_default();
        let audience = one
            .definition
            .as_ref()
            .map(|client| client.audience.clone())
            .unwrap_or_default();
        let changed = one.changed.map(format_time).unwrap_or_default();
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
    output::print(&output::table(
        &["CLIENT", "NAME", "AUDIENCE", "FROM", "STATE", "CHANGED"],
        &rows,
    ))?;
    for one in list.iter().filter(|one| one.from == "database") {
        warn_hidden(config, &one.id);
    }
    Ok(())
}

pub(super) async fn show(db: &Db, config: &Config, id: &str, json: bool) -> Outcome {
    let mut list = list_all(db, config).await?;
    list.retain(|one| one.id == id);
    let has_both = list.len() > 1;
    // Where two are defined, the one in effect comes first.
    let Some(one) = list.into_iter().next() else {
        let message = format!(
            "neither the configuration nor the database has a client {id:?}: see `entree clients list`"
        );
        return Err(message.into());
    };
    let value = as_json(&one)?;
    if json {
        return output::print(&value.to_string());
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
    output::print(output::table(&["", ""], &rows).trim_start())?;
    if let Err(problems) = &one.definition {
        output::problems(problems, "of the client; it is left out");
    }
    if has_both {
        warn_hidden(config, id);
    }
    Ok(())
}

pub(super) fn as_json(one: &ListedClient) -> Result<Value, CommandError> {
    let mut value = match &one.definition {
        Ok(client) => client_json(client)?,
        Err(problems) => json!({ "client_id": one.id, "problems": problems }),
    };
    if let Value::Object(fields) = &mut value {
        fields.insert("from".to_owned(), one.from.into());
        fields.insert("state".to_owned(), one.state.into());
        if let Some(changed) = one.changed {
            fields.insert("changed_at".to_owned(), format_time(changed).into());
        }
    }
    Ok(value)
}

/// Returns every key of a client, and of its secrets only their number.
pub(super) fn client_json(client: &Client) -> Result<Value, CommandError> {
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
