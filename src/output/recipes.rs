//! Programs that use a client's files: each recipe is a heading with a file name, and the source of a whole program.

use super::guidance::ClientFiles;
use crate::plan::command_line::quoted;

/// A program that calls a host with a client certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `openssl s_client`, in a POSIX shell
    Openssl,
    /// Python with requests
    Requests,
    /// Python with httpx
    Httpx,
    /// Node.js with `node:https`
    Node,
    /// Go with net/http
    Go,
    /// Java with java.net.http, from the PKCS#12 file
    Java,
}

/// The recipe; `None` for Java without a PKCS#12 file. `password_file`: the file of a generated password; without it the program asks for
/// the password.
pub fn recipe(
    program: Program,
    files: &ClientFiles,
    password_file: Option<&str>,
    host: Option<&str>,
) -> Option<String> {
    let call = Call {
        files,
        host: host.unwrap_or("HOST"),
    };
    let (title, source) = match program {
        Program::Openssl => ("openssl s_client, in a shell", call.openssl()),
        Program::Requests => ("Python and requests, as call.py", call.requests()),
        Program::Httpx => ("Python and httpx, as call.py", call.httpx()),
        Program::Node => ("Node.js, as call.mjs", call.node()),
        Program::Go => ("Go, as call.go", call.go()),
        Program::Java => ("Java, as Call.java", call.java(password_file)?),
    };
    let place = if host.is_some() {
        ""
    } else {
        " (HOST is the host that `expose` printed)"
    };
    Some(format!("With {title}{place}:\n\n{source}"))
}

struct Call<'a> {
    files: &'a ClientFiles,
    host: &'a str,
}

impl Call<'_> {
    fn certificate(&self) -> &str {
        match (&self.files.key, &self.files.combined) {
            (None, Some(combined)) => combined,
            _ => &self.files.certificate,
        }
    }

    fn key(&self) -> &str {
        let key = self.files.key.as_ref().or(self.files.combined.as_ref());
        key.map_or("KEY", String::as_str)
    }

    /// `text` with the names of the files as string literals, and with the lines marked `[CA]` only if the server's CA is not a public one.
    fn filled(&self, text: &str) -> String {
        let mut filled = String::new();
        for line in text.lines() {
            let line = match (line.split_once("[CA]"), &self.files.server_ca) {
                (Some(_), None) => continue,
                (Some((before, after)), Some(_)) => format!("{before}{after}"),
                (None, _) => line.to_owned(),
            };
            filled += &line;
            filled += "\n";
        }
        let ca = self.files.server_ca.as_deref().unwrap_or_default();
        filled
            .replace("{certificate}", &literal(self.certificate()))
            .replace("{key}", &literal(self.key()))
            .replace("{ca}", &literal(ca))
            .replace("{url}", &literal(&format!("https://{}/", self.host)))
    }

    fn openssl(&self) -> String {
        let ca = self.files.server_ca.as_deref();
        let trusted = ca.map_or_else(String::new, |ca| format!(" -CAfile {}", quoted(ca)));
        format!(
            "printf 'GET / HTTP/1.1\\r\\nHost: {host}\\r\\nConnection: close\\r\\n\\r\\n' | openssl s_client -quiet -verify_return_error \
             -connect {host}:443 -servername {host} -cert {} -key {}{trusted}\n",
            quoted(self.certificate()),
            quoted(self.key()),
            host = self.host,
        )
    }

    fn requests(&self) -> String {
        self.filled(
            r"import requests

answer = requests.get(
    {url},
    cert=({certificate}, {key}),
[CA]    verify={ca},
)
print(answer.status_code, answer.text)
",
        )
    }

    fn httpx(&self) -> String {
        self.filled(
            r"import ssl

import httpx

context = ssl.create_default_context()
[CA]context.load_verify_locations({ca})
context.load_cert_chain({certificate}, {key})
answer = httpx.get({url}, verify=context)
print(answer.status_code, answer.text)
",
        )
    }

    fn node(&self) -> String {
        self.filled(
            r#"import { readFileSync } from "node:fs";
import { get } from "node:https";

const options = {
  cert: readFileSync({certificate}),
  key: readFileSync({key}),
[CA]  ca: readFileSync({ca}),
};
get({url}, options, (answer) => {
  console.log(answer.statusCode);
  answer.pipe(process.stdout);
});
"#,
        )
    }

    fn go(&self) -> String {
        self.filled(
            r#"package main

import (
	"crypto/tls"
[CA]	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net/http"
[CA]	"os"
)

func main() {
	pair, err := tls.LoadX509KeyPair({certificate}, {key})
	if err != nil {
		log.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}}
[CA]	ca, err := os.ReadFile({ca})
[CA]	if err != nil {
[CA]		log.Fatal(err)
[CA]	}
[CA]	config.RootCAs = x509.NewCertPool()
[CA]	config.RootCAs.AppendCertsFromPEM(ca)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	answer, err := client.Get({url})
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.StatusCode, string(body))
}
"#,
        )
    }

    fn java(&self, password_file: Option<&str>) -> Option<String> {
        let keystore = literal(self.files.keystore.as_deref()?);
        let password = match password_file {
            Some(path) => format!(
                "Files.readString(Path.of({})).strip().toCharArray()",
                literal(path)
            ),
            None => format!("System.console().readPassword(\"Password of %s: \", {keystore})"),
        };
        let text = r#"import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
[CA]import java.security.cert.CertificateFactory;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

public class Call {
    public static void main(String[] arguments) throws Exception {
        char[] password = {password};
        KeyStore own = KeyStore.getInstance("PKCS12");
        try (var file = Files.newInputStream(Path.of({keystore}))) {
            own.load(file, password);
        }
        var keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        keys.init(own, password);
        KeyStore trusted = null; // the CAs that Java trusts
[CA]        trusted = KeyStore.getInstance(KeyStore.getDefaultType());
[CA]        trusted.load(null, null);
[CA]        try (var file = Files.newInputStream(Path.of({ca}))) {
[CA]            trusted.setCertificateEntry("server", CertificateFactory.getInstance("X.509").generateCertificate(file));
[CA]        }
        var trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(trusted);
        var context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
        var client = HttpClient.newBuilder().sslContext(context).build();
        var request = HttpRequest.newBuilder(URI.create({url})).build();
        var answer = client.send(request, BodyHandlers.ofString());
        System.out.println(answer.statusCode() + " " + answer.body());
    }
}
"#;
        let text = self.filled(text);
        Some(
            text.replace("{password}", &password)
                .replace("{keystore}", &keystore),
        )
    }
}

/// A string literal that is the same in Python, JavaScript, Go and Java.
fn literal(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(server_ca: Option<&str>) -> ClientFiles {
        ClientFiles {
            certificate: "alice.crt".to_owned(),
            key: Some("alice.key".to_owned()),
            combined: None,
            keystore: Some("alice.p12".to_owned()),
            server_ca: server_ca.map(str::to_owned),
        }
    }

    const ALL: [Program; 6] = [
        Program::Openssl,
        Program::Requests,
        Program::Httpx,
        Program::Node,
        Program::Go,
        Program::Java,
    ];

    #[test]
    fn every_recipe_names_the_files_the_host_and_a_ca_only_where_it_is_needed() {
        for program in ALL {
            let recipe = |ca| {
                recipe(
                    program,
                    &files(ca),
                    Some("alice.p12.password"),
                    Some("a.example"),
                )
            };
            let (public, own) = (
                recipe(None).unwrap(),
                recipe(Some("server-ca.crt")).unwrap(),
            );
            assert!(
                public.contains("a.example") && public.contains("alice."),
                "{public}"
            );
            assert!(!public.contains("server-ca"), "{public}");
            assert!(own.contains("server-ca.crt"), "{own}");
            for text in [public, own] {
                assert!(
                    !text.contains("[CA]") && !text.contains("{c") && !text.contains("{k"),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn java_needs_a_keystore_and_asks_for_a_password_that_it_does_not_find() {
        let none = ClientFiles {
            keystore: None,
            ..files(None)
        };
        assert_eq!(recipe(Program::Java, &none, None, None), None);
        let text = recipe(Program::Java, &files(None), None, None).unwrap();
        assert!(
            text.contains("readPassword") && text.contains("https://HOST/"),
            "{text}"
        );
    }

    #[test]
    fn one_file_with_both_serves_as_certificate_and_key() {
        let combined = ClientFiles {
            key: None,
            combined: Some("it's \"alice\".pem".to_owned()),
            ..files(None)
        };
        let text = recipe(Program::Requests, &combined, None, None).unwrap();
        let both = r#"("it's \"alice\".pem", "it's \"alice\".pem")"#;
        assert!(text.contains(both), "{text}");
    }
}
