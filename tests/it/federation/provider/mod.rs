//! Entree as the relying party of a provider: documents, tokens, claims and the kinds of provider.

mod claims;
mod document_cache;
mod documentation;
mod kinds;
mod metadata;
mod token;
