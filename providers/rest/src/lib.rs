//! A remote over REST: endpoint templates, paging, ETags, on any tower HTTP service.
