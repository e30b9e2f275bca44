// Asks by OkHttp. java -cp JARS Ok.java URL FOLDER; prints a line for each answer: what was sent, status, body.

import java.io.File;
import java.io.IOException;
import okhttp3.MediaType;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.RequestBody;
import okio.BufferedSink;
import okio.Okio;

public class Ok {
    private static final MediaType JSON = MediaType.get("application/json");

    public static void main(String[] words) throws Exception {
        var client = new OkHttpClient();
        for (var name : new String[] {"small", "small", "small", "thousand", "huge"}) {
            ask(client, words[0], name, RequestBody.create(new File(words[1], name), JSON));
        }
        ask(client, words[0], "small", streamed(new File(words[1], "small")));
        client.dispatcher().executorService().shutdown();
        client.connectionPool().evictAll();
    }

    private static void ask(OkHttpClient client, String url, String name, RequestBody body) throws IOException {
        var request = new Request.Builder().url(url + "/inference").post(body).build();
        try (var answer = client.newCall(request).execute()) {
            System.out.println(name + " " + answer.code() + " " + answer.body().string());
        }
    }

    /** A body whose length is not known before: it goes in chunks. */
    private static RequestBody streamed(File file) {
        return new RequestBody() {
            @Override
            public MediaType contentType() {
                return JSON;
            }

            @Override
            public void writeTo(BufferedSink sink) throws IOException {
                try (var source = Okio.source(file)) {
                    sink.writeAll(source);
                }
            }
        };
    }
}
