//! `/dev/mailbox`: the emails of `entree dev`, which has no mail server. `entree serve` has none of
//! these routes.

use poem::{
    EndpointExt as _, IntoResponse as _, Request, Response, Route, get, handler,
    web::{Data, Json, Path},
};
use uuid::Uuid;

use crate::{
    app::App,
    login::page_error::{self, PageError},
    mail::{
        mailbox::{Mailbox, ReceivedEmail},
        page::{EmailPage, EmailRow, MailboxPage},
    },
    web::{
        page::{PageOptions, render_page},
        params::Params,
    },
};

/// Returns the pages of a mailbox, below `/dev`.
pub(super) fn routes(mailbox: Mailbox) -> impl poem::Endpoint<Output = Response> {
    Route::new()
        .at("/mailbox", get(list))
        .at("/mailbox.json", get(list_json))
        .at("/mailbox/:id", get(show_email))
        .data(mailbox)
        .map_to_response()
}

/// All emails, the newest first.
#[handler]
async fn list(Data(app): Data<&App>, Data(mailbox): Data<&Mailbox>) -> Response {
    let localizer = app.texts.localizer("en");
    let emails = mailbox.list(None);
    let texts: Vec<(String, String)> = emails
        .iter()
        .map(|email| (email.id.to_string(), localizer.date_time(email.received_at)))
        .collect();
    let rows: Vec<EmailRow<'_>> = emails
        .iter()
        .zip(&texts)
        .map(|(email, (id, received))| EmailRow {
            id,
            to: &email.to,
            subject: &email.subject,
            received,
        })
        .collect();
    render_page(
        &MailboxPage {
            localizer: &localizer,
            emails: &rows,
        },
        PageOptions::for_url(&app.public_url),
    )
}

/// The same as JSON; `?to=ADDRESS` filters.
#[handler]
async fn list_json(
    Data(app): Data<&App>,
    Data(mailbox): Data<&Mailbox>,
    request: &Request,
) -> Response {
    page_error::respond(app, request, async {
        let params = Params::from_query(request)?;
        let emails: Vec<ReceivedEmail> = mailbox.list(params.optional("to")?);
        Ok(Json(emails).into_response())
    })
    .await
}

#[handler]
async fn show_email(
    Data(app): Data<&App>,
    Data(mailbox): Data<&Mailbox>,
    Path(id): Path<String>,
    request: &Request,
) -> Response {
    page_error::respond(app, request, async {
        let email = Uuid::try_parse(&id)
            .ok()
            .and_then(|id| mailbox.get(id))
            .ok_or(PageError::NotFound)?;
        let localizer = app.texts.localizer("en");
        let page = EmailPage {
            localizer: &localizer,
            to: &email.to,
            from: &email.from,
            subject: &email.subject,
            text: &email.text,
            html: &email.html,
            received: &localizer.date_time(email.received_at),
        };
        Ok(render_page(&page, PageOptions::for_url(&app.public_url)))
    })
    .await
}
