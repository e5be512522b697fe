//! Whom an image runs as: `USER` of its configuration, looked up in its own files where it is a name.

use crate::client::Session;
use crate::places::WARDEN;
use aido_runtime::Error;
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{DownloadFromContainerOptionsBuilder, RemoveContainerOptionsBuilder};
use futures_util::StreamExt;
use std::io::Read;

/// No honest list of accounts is larger.
const LARGEST: usize = 4 << 20;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
}

/// The numbers of an image's user.
pub(crate) async fn identity(session: &Session, image: &str, user: &str) -> Result<Identity, Error> {
    if matches!(user, "" | "0" | "root" | "0:0") {
        return Ok(Identity::default());
    }
    if let Some((uid, gid)) = user.split_once(':').and_then(|(u, g)| Some((u.parse().ok()?, g.parse().ok()?))) {
        return Ok(Identity { uid, gid, groups: Vec::new() });
    }
    // A container that is never started: there is no other way to a file of an image.
    let host = HostConfig { network_mode: Some("none".into()), ..Default::default() };
    let body = ContainerCreateBody {
        image: Some(image.into()),
        entrypoint: Some(vec![format!("{WARDEN}/none")]),
        host_config: Some(host),
        ..Default::default()
    };
    let failed = session.failed("the accounts of the image could not be read");
    let made = session.api.create_container(None, body).await.map_err(&failed)?;
    let passwd = file(session, &made.id, "/etc/passwd").await;
    let group = file(session, &made.id, "/etc/group").await;
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    session.api.remove_container(&made.id, Some(options)).await.map_err(&failed)?;
    look_up(user, &passwd?, &group?)
}

/// A small text file of a container; empty where there is none.
async fn file(session: &Session, container: &str, path: &str) -> Result<String, Error> {
    let options = DownloadFromContainerOptionsBuilder::new().path(path).build();
    let mut pieces = std::pin::pin!(session.api.download_from_container(container, Some(options)));
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.next().await {
        match piece {
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(e) if crate::words::is_missing(&e) => return Ok(String::new()),
            Err(e) => return Err(session.failed("the accounts of the image could not be read")(e)),
        }
        if bytes.len() > LARGEST {
            return Err(Error::new(format!("{path} of the image is larger than {LARGEST} bytes")));
        }
    }
    let mut archive = tar::Archive::new(&*bytes);
    let mut text = Vec::new();
    let entry = archive.entries().ok().and_then(|mut entries| entries.next()).and_then(Result::ok);
    if let Some(mut entry) = entry.filter(|entry| entry.header().entry_type().is_file()) {
        entry.read_to_end(&mut text).map_err(|e| Error::new(format!("{path} of the image: {e}")))?;
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// As engines do: a number may stand in the list too, and then has the group that is written there.
fn look_up(user: &str, passwd: &str, group: &str) -> Result<Identity, Error> {
    let (name, group_name) = user.split_once(':').map_or((user, None), |(name, group)| (name, Some(group)));
    let unknown =
        |what: &str, name: &str| Error::new(format!("the image runs as the {what} {name:?}, which it does not have"));
    let fields = |line: &'_ str| line.split(':').map(str::to_string).collect::<Vec<_>>();
    let accounts: Vec<Vec<String>> = passwd.lines().map(fields).filter(|fields| fields.len() >= 4).collect();
    let groups: Vec<Vec<String>> = group.lines().map(fields).filter(|fields| fields.len() >= 3).collect();
    let account = accounts.iter().find(|fields| fields[0] == name || fields[2] == name);
    let uid = match account {
        Some(fields) => fields[2].parse().map_err(|_| unknown("user", name))?,
        None => name.parse().map_err(|_| unknown("user", name))?,
    };
    let gid = match group_name {
        Some(wanted) => match groups.iter().find(|fields| fields[0] == wanted) {
            Some(fields) => fields[2].parse().map_err(|_| unknown("group", wanted))?,
            None => wanted.parse().map_err(|_| unknown("group", wanted))?,
        },
        None => account.and_then(|fields| fields[3].parse().ok()).unwrap_or(0),
    };
    let mut more = Vec::new();
    if let (Some(account), None) = (account, group_name) {
        let of = |fields: &&Vec<String>| fields.get(3).is_some_and(|list| list.split(',').any(|m| m == account[0]));
        more = groups.iter().filter(of).filter_map(|fields| fields[2].parse().ok()).filter(|own| *own != gid).collect();
        more.sort_unstable();
        more.dedup();
    }
    Ok(Identity { uid, gid, groups: more })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_looked_up_as_engines_do() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:100::/home/app:/bin/sh\n";
        let group = "root:x:0:\nusers:x:100:app\nwheel:x:10:app,root\n";
        let of = |user: &str| look_up(user, passwd, group).map(|found| (found.uid, found.gid, found.groups));
        assert_eq!(of("app").unwrap(), (1000, 100, vec![10]));
        assert_eq!(of("1000").unwrap(), (1000, 100, vec![10]));
        assert_eq!(of("app:wheel").unwrap(), (1000, 10, vec![]));
        assert_eq!(of("4242").unwrap(), (4242, 0, vec![]));
        assert_eq!(of("7:8").unwrap(), (7, 8, vec![]));
        assert!(of("nobody").is_err() && of("app:nobody").is_err());
    }
}
