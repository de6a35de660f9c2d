//! The buttons of upstream providers: what the configuration says, in a person's language.

use super::context::RequestContext;
use crate::{
    app::App,
    config::{Config, Provider},
    session::page::ProviderButton,
    user::UpstreamAccount,
    web::text::Localizer,
};

/// The form that sets out for a provider to sign in; its token is good for one provider and one client request.
pub const SIGN_IN_FORM: &str = "upstream";

/// The form that sets out for a provider to connect it to whoever is signed in.
pub const CONNECT_FORM: &str = "connect";

/// The provider with this id, if people may use it.
#[must_use]
pub fn find<'a>(config: &'a Config, id: &str) -> Option<&'a Provider> {
    config
        .providers
        .iter()
        .find(|provider| provider.enabled && provider.id == id)
}

/// The provider that may speak for an account now (federation R-38): configured, switched on, and the account's issuer
/// still its own. Whatever waited for a proof or a yes asks again before anything comes of it.
#[must_use]
pub fn is_trusted_issuer<'a>(
    config: &'a Config,
    arrived: &UpstreamAccount,
) -> Option<&'a Provider> {
    find(config, &arrived.provider).filter(|provider| provider.is_issuer(&arrived.issuer))
}

/// What people call the provider with this id, also when it is switched off; none if it is not configured.
#[must_use]
pub fn name<'a>(config: &'a Config, id: &str) -> Option<&'a str> {
    config
        .providers
        .iter()
        .find(|provider| provider.id == id)
        .map(Provider::shown_name)
}

/// The same, with words where there is none: an id may come from an address that anybody typed.
#[must_use]
pub fn name_or_words(config: &Config, id: &str, localizer: &Localizer) -> String {
    name(config, id).map_or_else(|| localizer.text("upstream-provider"), str::to_owned)
}

/// What a form's token is about: the provider, and the client's request that goes on after it.
#[must_use]
pub fn form_context(id: &str, txn: Option<&str>) -> String {
    format!("{id} {}", txn.unwrap_or_default())
}

/// The buttons of the sign-in page, in the order that ops want.
#[must_use]
pub fn sign_in_buttons(
    app: &App,
    context: &RequestContext,
    txn: Option<&str>,
) -> Vec<ProviderButton> {
    let token = |id: &str| context.form_token(app, SIGN_IN_FORM, &form_context(id, txn));
    buttons(
        context,
        |provider| sign_in_text(&context.localizer, provider),
        token,
    )
}

/// The buttons of the account page. `connected`: the providers that have an account there already; one more may follow.
#[must_use]
pub fn connect_buttons(
    app: &App,
    context: &RequestContext,
    connected: &[String],
) -> Vec<ProviderButton> {
    let token = |id: &str| context.session_form_token(app, &connect_form(id));
    let text = |provider: &Provider| {
        let key = if connected.contains(&provider.id) {
            "account-connect-another"
        } else {
            "account-connect"
        };
        context
            .localizer
            .text_with(key, &[("provider", provider.shown_name().to_owned())])
    };
    buttons(context, text, token)
}

/// The name of the form that connects one provider.
#[must_use]
pub fn connect_form(id: &str) -> String {
    format!("{CONNECT_FORM} {id}")
}

fn buttons(
    context: &RequestContext,
    text: impl Fn(&Provider) -> String,
    token: impl Fn(&str) -> String,
) -> Vec<ProviderButton> {
    let mut offered: Vec<&Provider> = context
        .config
        .providers
        .iter()
        .filter(|provider| provider.enabled)
        .collect();
    offered.sort_by_key(|provider| provider.order);
    let button = |provider: &&Provider| ProviderButton {
        id: provider.id.clone(),
        text: text(provider),
        icon: icon(provider.shown_icon()),
        form_token: token(&provider.id),
    };
    offered.iter().map(button).collect()
}

/// The text that ops wrote for this language or, for `fr-CH`, for `fr`; else the usual one with the name.
fn sign_in_text(localizer: &Localizer, provider: &Provider) -> String {
    let tag: &str = &localizer.tag;
    let primary = tag.split('-').next().unwrap_or(tag);
    let own = provider
        .button
        .get(tag)
        .or_else(|| provider.button.get(primary));
    own.cloned().unwrap_or_else(|| {
        localizer.text_with(
            "sign-in-provider",
            &[("provider", provider.shown_name().to_owned())],
        )
    })
}

/// Plain signs of our own in the page's own colour: no provider's logo is shipped.
fn icon(name: &str) -> &'static str {
    macro_rules! letter {
        ($letter:literal) => {
            concat!(
                r#"<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><rect width="22" height="22" x="1" y="1" "#,
                r#"rx="6"/><text x="12" y="17" text-anchor="middle">"#,
                $letter,
                "</text></svg>"
            )
        };
    }
    match name {
        "google" => letter!("G"),
        "microsoft" => letter!("M"),
        "apple" => letter!("A"),
        "gitlab" => letter!("GL"),
        "keycloak" => letter!("K"),
        "github" => letter!("GH"),
        _ => concat!(
            r#"<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><circle cx="8" cy="12" r="5"/>"#,
            r#"<path d="M13 12h9M18 12v4M22 12v3"/></svg>"#
        ),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::web::text::Texts;

    #[test]
    fn up_01_a_button_says_what_ops_wrote_in_the_persons_language_else_the_usual() {
        let plain: Provider =
            toml::from_str("id = \"work\"\nname = \"Example\"\nclient_id = \"c\"").unwrap();
        let own: Provider = toml::from_str(
            "id = \"work\"\nname = \"Example\"\nclient_id = \"c\"\nbutton = { fr = \"Entrer avec Example\" }",
        )
        .unwrap();
        let texts = Texts::default();
        assert_eq!(
            sign_in_text(&texts.localizer("en"), &plain),
            "Continue with Example"
        );
        assert_eq!(
            sign_in_text(&texts.localizer("en"), &own),
            "Continue with Example"
        );
        assert_eq!(
            sign_in_text(&texts.localizer("fr"), &own),
            "Entrer avec Example"
        );
    }

    #[test]
    fn every_picture_that_may_be_configured_is_there() {
        for name in crate::config::providers::ICONS {
            assert!(icon(name).starts_with("<svg"), "{name}");
        }
        let drawn: std::collections::BTreeSet<_> = crate::config::providers::ICONS
            .iter()
            .map(|name| icon(name))
            .collect();
        assert_eq!(drawn.len(), crate::config::providers::ICONS.len());
    }
}
