/* Reads what factorseg says of each frame's mask.
 *
 *   cc read_meta.c -o read_meta $(pkg-config --cflags --libs gstreamer-1.0)
 *   GST_PLUGIN_PATH=target/release ./read_meta
 */
#include <gst/gst.h>

static void
print_regions (GstBuffer * buffer)
{
  GstCustomMeta *meta = gst_buffer_get_custom_meta (buffer, "factorseg");
  if (!meta) {
    g_print ("no mask\n");
    return;
  }
  GstStructure *facts = gst_custom_meta_get_structure (meta);
  guint timestep = 0;
  guint64 age = GST_CLOCK_TIME_NONE;
  gst_structure_get_uint (facts, "timestep", &timestep);
  gst_structure_get_uint64 (facts, "mask-age", &age);
  g_print ("class %s, timestep %u, mask %" G_GUINT64_FORMAT " ns old\n",
      gst_structure_get_string (facts, "class"), timestep, age);

  const GValue *regions = gst_structure_get_value (facts, "regions");
  for (guint i = 0; regions && i < gst_value_array_get_size (regions); i++) {
    const GstStructure *region =
        gst_value_get_structure (gst_value_array_get_value (regions, i));
    guint id = 0;
    gboolean foreground = FALSE;
    gdouble area = 0, x, y, width, height;
    gst_structure_get_uint (region, "id", &id);
    gst_structure_get_boolean (region, "foreground", &foreground);
    gst_structure_get_double (region, "area", &area);
    g_print ("region %u%s covers %.1f %%", id, foreground ? " (foreground)" : "", 100 * area);
    /* A region that wins nothing has no box. */
    if (gst_structure_get_double (region, "x", &x) && gst_structure_get_double (region, "y", &y)
        && gst_structure_get_double (region, "width", &width)
        && gst_structure_get_double (region, "height", &height))
      g_print (" within %.2f,%.2f %.2fx%.2f", x, y, width, height);
    g_print ("\n");
  }
}

static GstPadProbeReturn
on_buffer (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  print_regions (GST_PAD_PROBE_INFO_BUFFER (info));
  return GST_PAD_PROBE_OK;
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  GError *error = NULL;
  GstElement *pipeline = gst_parse_launch ("videotestsrc num-buffers=3 pattern=ball ! factorseg device=cpu ! "
      "fakesink name=sink", &error);
  if (!pipeline || error) {
    g_printerr ("%s\n", error ? error->message : "no pipeline");
    return 1;
  }
  GstElement *sink = gst_bin_get_by_name (GST_BIN (pipeline), "sink");
  GstPad *pad = gst_element_get_static_pad (sink, "sink");
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, on_buffer, NULL, NULL);
  gst_object_unref (pad);
  gst_object_unref (sink);

  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  GstBus *bus = gst_element_get_bus (pipeline);
  GstMessage *message = gst_bus_timed_pop_filtered (bus, GST_CLOCK_TIME_NONE, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
  int failed = GST_MESSAGE_TYPE (message) == GST_MESSAGE_ERROR;
  gst_message_unref (message);
  gst_object_unref (bus);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  gst_object_unref (pipeline);
  return failed;
}
