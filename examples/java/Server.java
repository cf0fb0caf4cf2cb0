// An HTTP server on the socket that clusterctl hands over, one thread per connection. Java takes a
// listening socket from outside as its standard input only, so the ecosystem file puts it there. No
// signal handler.
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;

public class Server {
    /** Answers requests without a body until the client has no more. */
    static void serve(SocketChannel client) {
        String body = "{\"pid\":" + ProcessHandle.current().pid() + "}\n";
        String answer = "HTTP/1.1 200 OK\r\nContent-Length: " + body.length() + "\r\n\r\n" + body;
        try (client) {
            var requests = new BufferedReader(new InputStreamReader(Channels.newInputStream(client)));
            for (String line; (line = requests.readLine()) != null;) {
                if (line.isEmpty()) client.write(ByteBuffer.wrap(answer.getBytes()));
            }
        } catch (IOException gone) {
            // The client has hung up.
        }
    }

    public static void main(String[] args) throws IOException {
        var listener = (ServerSocketChannel) System.inheritedChannel();
        System.out.println("listening");
        while (true) {
            var client = listener.accept();
            new Thread(() -> serve(client)).start();
        }
    }
}
