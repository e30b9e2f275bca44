// Asks by the JDK's own HTTP client. As it comes it offers HTTP/2 in clear text with the first request of a connection.
// java Jdk.java URL FOLDER VARIANT; prints a line for each answer: what was sent, status, body.

import java.io.FileInputStream;
import java.io.FileNotFoundException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Path;

public class Jdk {
    public static void main(String[] words) throws Exception {
        var version = words[2].equals("http1") ? HttpClient.Version.HTTP_1_1 : HttpClient.Version.HTTP_2;
        var client = HttpClient.newBuilder().version(version).build();
        var expect = words[2].equals("expect");
        for (var name : new String[] {"small", "small", "small", "thousand", "huge"}) {
            ask(client, words[0], name, BodyPublishers.ofFile(Path.of(words[1], name)), expect);
        }
        ask(client, words[0], "small", BodyPublishers.ofInputStream(() -> open(words[1] + "/small")), expect);
    }

    private static void ask(HttpClient client, String url, String name, BodyPublisher body, boolean expect)
            throws Exception {
        var request = HttpRequest.newBuilder(URI.create(url + "/inference"))
                .header("Content-Type", "application/json")
                .expectContinue(expect)
                .POST(body)
                .build();
        var answer = client.send(request, BodyHandlers.ofString());
        System.out.println(name + " " + answer.statusCode() + " " + answer.body());
    }

    private static InputStream open(String file) {
        try {
            return new FileInputStream(file);
        } catch (FileNotFoundException gone) {
            throw new UncheckedIOException(gone);
        }
    }
}
