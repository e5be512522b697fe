//! `aido image pull`: brings images in, and says what their registries mean by their names now.

use super::{print, print_json};
use crate::cli::ImagePull;
use crate::{progress, root, words};
use aido_image::{Kind, News, Options, Platform, Pulled, Source, Store};
use aido_runtime::Error;
use anyhow::Result;
use serde_json::{Value, json};
use std::cell::Cell;

pub(super) fn pull(typed: &ImagePull) -> Result<u8> {
    let store = root::open_store()?;
    let sources = sources(typed, &store)?;
    if sources.is_empty() {
        words::say("no image in the store was pulled under a tag; `aido image pull IMAGE` brings one");
    }
    let progress = progress::shown(typed.quiet);
    let registries = root::registries()?;
    let options = Options {
        ownership: aido_runtime_linux::image_ownership(),
        offline: typed.offline,
        insecure: &typed.insecure_registry,
        registries: &registries,
        refresh: false,
        platform: Platform::here(),
        progress: &progress,
    };
    // All of it there, the words too: nothing else comes home from a helper process.
    let (mut pulled, mut failures, mut left) = (Vec::new(), Vec::new(), sources.iter().peekable());
    let closed = Cell::new(false);
    root::fetching(&progress, &closed, || {
        while let Some(source) = left.peek() {
            match store.pull(source, &options, typed.update) {
                Ok(done) => {
                    progress.clear();
                    if !typed.quiet {
                        tell(source, &done);
                    }
                    pulled.push(done);
                }
                // Once more where it opens, and from here on.
                Err(error) if error.kind == Kind::Closed && !closed.replace(true) => return Err(root::told(error)),
                Err(error) => failures.push(root::told(error)),
            }
            left.next();
        }
        progress.clear();
        say_digests(&pulled, typed.json)?;
        // One that fails keeps no other from being pulled.
        let last = failures.pop();
        failures.iter().for_each(complain);
        last.map_or(Ok(()), Err)
    })?;
    Ok(0)
}

fn sources(typed: &ImagePull, store: &Store) -> Result<Vec<Source>, Error> {
    if typed.references.is_empty() {
        return Ok(store.tags().map_err(root::told)?.into_iter().map(Source::Registry).collect());
    }
    let one = |text: &String| match text.parse::<Source>().map_err(root::told)? {
        Source::Registry(reference) => Ok(Source::Registry(reference)),
        _ => {
            let wrong = Error::new(format!("`{text}` is no image of a registry"));
            Err(wrong.remedy(format!("aido image import {text}")))
        }
    };
    typed.references.iter().map(one).collect()
}

fn complain(error: &Error) {
    let help = error.remedy.as_ref().map(|remedy| format!("\n  help: {}", words::inert(remedy))).unwrap_or_default();
    words::say(&format!("{}{help}", words::inert(&error.what)));
}

/// What the registry said, where it is news.
fn tell(source: &Source, pulled: &Pulled) {
    let say = |what: String| words::say(&words::inert(&what));
    let update = format!("  help: aido image pull --update {source}");
    let kept = pulled.image.resolved;
    match &pulled.news {
        News::Moved(now) => {
            say(format!("{source} means {now} in its registry by now; here it stays {kept}"));
            anstream::eprintln!("{}", words::inert(&update));
        }
        News::Updated(before) => say(format!("{source}: {before} -> {kept}")),
        News::Same => say(format!("{source} means what it meant")),
        News::Pinned => say(format!("{source} is in the store, and held to its digest: nobody was asked")),
        News::Offline => say(format!("{source} is in the store; its registry was not asked")),
        News::Given => {
            say(format!("{source} is a name that was given here; no registry was asked"));
            anstream::eprintln!("{}", words::inert(&update));
        }
        News::Unreachable(why) => {
            crate::commands::warn(&words::inert(&format!("{why}; {source} is in the store, and stays as it is")));
        }
        _ => {}
    }
}

fn say_digests(all: &[Pulled], as_json: bool) -> Result<(), Error> {
    let printed = if as_json {
        print_json(&all.iter().map(in_json).collect::<Vec<_>>())
    } else {
        print(&all.iter().map(|pulled| format!("{}\n", pulled.image.digest)).collect::<String>())
    };
    printed.map(drop).map_err(|e| Error::new(e.to_string()))
}

fn in_json(pulled: &Pulled) -> Value {
    let Pulled { image, news } = pulled;
    let (word, other) = match news {
        News::Fetched => ("fetched", None),
        News::Same => ("same", None),
        News::Moved(now) => ("moved", Some(now)),
        News::Updated(before) => ("updated", Some(before)),
        News::Pinned => ("pinned", None),
        News::Given => ("given", None),
        News::Offline => ("offline", None),
        News::Unreachable(_) => ("unreachable", None),
        _ => ("other", None),
    };
    let layers: Vec<String> = image.layers.iter().map(ToString::to_string).collect();
    let mut value = json!({"name": image.reference, "digest": image.digest, "resolved": image.resolved,
        "size": image.size, "layers": layers, "news": word});
    let key = if matches!(news, News::Moved(_)) { "now" } else { "before" };
    if let Some(digest) = other {
        value[key] = json!(digest);
    }
    value
}
