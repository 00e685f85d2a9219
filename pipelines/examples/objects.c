/* Reads frames, masks and facts together, from two branches.
 *
 *   cc objects.c -o objects $(pkg-config --cflags --libs gstreamer-app-1.0 gstreamer-video-1.0)
 *   GST_PLUGIN_PATH=target/release ./objects holiday.mp4
 *
 * One line a frame: when it is shown, its size, the share of the object by the facts and by the mask, and how bright the
 * frame is inside and outside of it. objects.rs and objects.py print the same.
 */
#include <gst/app/gstappsink.h>
#include <gst/video/video.h>

/* Frames by one branch, masks by the other, each with a queue: the element sends both of a frame before the next. */
static const char *const PIPELINE =
    "uridecodebin name=file ! videoconvert ! video/x-raw,format=GRAY8 ! factorseg name=segment overlay=none"
    " mask_0::format=foreground-hard segment.src ! queue ! appsink name=frames sync=false"
    " segment.mask_0 ! queue ! appsink name=masks sync=false";

static gboolean
map (GstVideoFrame * frame, GstSample * sample)
{
  GstVideoInfo info;
  return gst_video_info_from_caps (&info, gst_sample_get_caps (sample))
      && gst_video_frame_map (frame, &info, gst_sample_get_buffer (sample), GST_MAP_READ);
}

/* The share of the picture that the object takes, by the facts on the buffer; negative if there are none. */
static gdouble
share_of_object (GstBuffer * buffer)
{
  GstCustomMeta *meta = gst_buffer_get_custom_meta (buffer, "factorseg");
  gdouble share = meta ? 0 : -1;
  const GValue *regions = meta ? gst_structure_get_value (gst_custom_meta_get_structure (meta), "regions") : NULL;
  for (guint i = 0; regions && i < gst_value_array_get_size (regions); i++) {
    const GstStructure *region = gst_value_get_structure (gst_value_array_get_value (regions, i));
    gboolean foreground = FALSE;
    gdouble area = 0;
    gst_structure_get_boolean (region, "foreground", &foreground);
    gst_structure_get_double (region, "area", &area);
    share += foreground ? area : 0;
  }
  return share;
}

static gboolean
describe (guint index, GstSample * frame_sample, GstSample * mask_sample)
{
  GstBuffer *buffer = gst_sample_get_buffer (frame_sample);
  GstVideoFrame frame, mask;
  if (GST_BUFFER_PTS (buffer) != GST_BUFFER_PTS (gst_sample_get_buffer (mask_sample))) {
    g_printerr ("frame and mask %u are of different times\n", index);
    return FALSE;
  }
  if (!map (&frame, frame_sample))
    return FALSE;
  if (!map (&mask, mask_sample)) {
    gst_video_frame_unmap (&frame);
    return FALSE;
  }
  gint width = GST_VIDEO_FRAME_WIDTH (&frame), height = GST_VIDEO_FRAME_HEIGHT (&frame);
  guint64 sum[2] = { 0, 0 }, count[2] = { 0, 0 };
  for (gint y = 0; y < height; y++) {
    const guint8 *luma = (guint8 *) GST_VIDEO_FRAME_PLANE_DATA (&frame, 0) + y * GST_VIDEO_FRAME_PLANE_STRIDE (&frame, 0);
    const guint8 *label = (guint8 *) GST_VIDEO_FRAME_PLANE_DATA (&mask, 0) + y * GST_VIDEO_FRAME_PLANE_STRIDE (&mask, 0);
    for (gint x = 0; x < width; x++) {
      sum[label[x] == 255] += luma[x];
      count[label[x] == 255]++;
    }
  }
  gst_video_frame_unmap (&mask);
  gst_video_frame_unmap (&frame);
  g_print ("%u: %.3f s, %dx%d, object %.3f of the picture, %" G_GUINT64_FORMAT " pixels, luma %.1f inside, %.1f outside\n",
      index, (gdouble) GST_BUFFER_PTS (buffer) / GST_SECOND, width, height, share_of_object (buffer), count[1],
      (gdouble) sum[1] / MAX (count[1], 1), (gdouble) sum[0] / MAX (count[0], 1));
  return TRUE;
}

/* The next sample, NULL at the end of the stream. Where the pipeline fails no more come, so the bus is looked at, too. */
static GstSample *
next (GstAppSink * sink, GstBus * bus, gboolean * failed)
{
  while (!*failed && !gst_app_sink_is_eos (sink)) {
    GstSample *sample = gst_app_sink_try_pull_sample (sink, 100 * GST_MSECOND);
    if (sample)
      return sample;
    GstMessage *message = gst_bus_pop_filtered (bus, GST_MESSAGE_ERROR);
    if (message) {
      GError *error = NULL;
      gst_message_parse_error (message, &error, NULL);
      g_printerr ("%s\n", error->message);
      g_error_free (error);
      gst_message_unref (message);
      *failed = TRUE;
    }
  }
  return NULL;
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  GError *error = NULL;
  GstElement *pipeline = gst_parse_launch (PIPELINE, &error);
  gchar *uri = argc > 1 ? gst_filename_to_uri (argv[1], NULL) : NULL;
  if (!pipeline || error || !uri) {
    g_printerr ("%s\n", error ? error->message : "usage: objects VIDEO");
    return 1;
  }
  GstElement *file = gst_bin_get_by_name (GST_BIN (pipeline), "file");
  g_object_set (file, "uri", uri, NULL);
  gst_object_unref (file);
  g_free (uri);
  GstAppSink *frames = GST_APP_SINK (gst_bin_get_by_name (GST_BIN (pipeline), "frames"));
  GstAppSink *masks = GST_APP_SINK (gst_bin_get_by_name (GST_BIN (pipeline), "masks"));

  GstBus *bus = gst_element_get_bus (pipeline);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  gboolean failed = FALSE, over = FALSE;
  for (guint index = 0; !over && !failed; index++) {
    GstSample *frame = next (frames, bus, &failed), *mask = next (masks, bus, &failed);
    over = !frame || !mask;
    failed |= !over && !describe (index, frame, mask);
    g_clear_pointer (&frame, gst_sample_unref);
    g_clear_pointer (&mask, gst_sample_unref);
  }
  gst_element_set_state (pipeline, GST_STATE_NULL);
  gst_object_unref (bus);
  gst_object_unref (frames);
  gst_object_unref (masks);
  gst_object_unref (pipeline);
  return failed;
}
