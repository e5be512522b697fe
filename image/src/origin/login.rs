//! Logins that the user gave to Docker or Podman.

use crate::{Error, Kind, Result};
use docker_credential::{CredentialRetrievalError as Trouble, DockerCredential};
use oci_distribution::secrets::RegistryAuth;

/// The login for a registry. None is no error; one that is there but cannot be had is.
pub(super) fn find(registry: &str) -> Result<RegistryAuth> {
    // Docker Hub's login is stored under the address it had first.
    let server = if registry == "docker.io" { "https://index.docker.io/v1/" } else { registry };
    for stored in [docker_credential::get_credential(server), docker_credential::get_podman_credential(server)] {
        match stored {
            Ok(DockerCredential::UsernamePassword(user, password)) => return Ok(RegistryAuth::Basic(user, password)),
            Ok(DockerCredential::IdentityToken(token)) => return Ok(RegistryAuth::Bearer(token)),
            Err(Trouble::NoCredentialConfigured | Trouble::ConfigNotFound | Trouble::ConfigReadError) => {}
            // What a helper says may hold secrets: it is not repeated.
            Err(Trouble::HelperFailure { helper, .. }) => {
                return Err(trouble(registry, &format!("the credential helper `{helper}` failed")));
            }
            Err(other) => return Err(trouble(registry, &other.to_string())),
        }
    }
    Ok(RegistryAuth::Anonymous)
}

fn trouble(registry: &str, why: &str) -> Error {
    Error::new(Kind::Registry, format!("the stored login for {registry} cannot be had: {why}"))
        .remedy(format!("docker login {registry}, or docker logout {registry} to pull without one"))
}
