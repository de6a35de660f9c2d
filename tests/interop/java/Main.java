import com.nimbusds.jose.util.JSONObjectUtils;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Instant;
import java.util.List;
import java.util.Properties;

/** Runs the verifiers of docs/verify-tokens.md: answers each line, a token or a request with proofs. */
public final class Main {
    public static void main(String[] args) throws Exception {
        var version = new Properties();
        try (var file = Main.class.getResourceAsStream("/META-INF/maven/com.nimbusds/nimbus-jose-jwt/pom.properties")) {
            version.load(file);
        }
        System.out.println("version " + version.getProperty("version"));
        var verifier = new Verifier(System.getenv("ISSUER"), System.getenv("AUDIENCE"));
        // One began an hour ago, the other begins now.
        var old = new Proofs(System.getenv("API_URL"), Instant.now().minusSeconds(3600));
        var young = new Proofs(System.getenv("API_URL"), Instant.now());
        System.out.println("did the files of the document, unchanged");
        var lines = new BufferedReader(new InputStreamReader(System.in));
        for (var line = lines.readLine(); line != null; line = lines.readLine()) {
            String answer;
            try {
                answer = "accepted " + (line.startsWith("{") ? check(old, young, line) : verifier.verify(line).getSubject());
            } catch (Exception error) {
                answer = "refused " + String.valueOf(error.getMessage()).replaceAll("\\s+", " ");
            }
            System.out.println(answer);
        }
    }

    private static String check(Proofs old, Proofs young, String line) throws Exception {
        var request = JSONObjectUtils.parse(line);
        var proofs = JSONObjectUtils.getBoolean(request, "isYoung") ? young : old;
        var shown = List.of(JSONObjectUtils.getStringArray(request, "proofs"));
        proofs.check(shown, (String) request.get("method"), (String) request.get("path"), (String) request.get("token"),
            (String) request.get("jkt"));
        return "the proof";
    }
}
